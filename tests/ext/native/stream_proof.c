/* Streams of fixed records under stress: units of 1 to 256 records, readers of which some are
 * slow, writers killed at random instants and successors that write the unit anew. Every record
 * handed out is exactly what was published, in order, and delivered + lost = written.
 */
#include "proof.h"
#include "stream.h"

enum { RECORDS, SEED, START, CAPACITY, EVENTS, READERS, KILLS, DEADLINE };
static Option options[] = {
    {"records", 300000}, {"seed", 1}, {"start", 0}, {"capacity", 1000}, {"events", 0}, {"readers", 3}, {"kills", 0},
    {"deadline", 100}, {0, 0},
};
#define OPTION(name) (options[name].value)
#define BATCH 300

typedef struct {
    uint64_t delivered, lost, rejected, _pad[5];
} ReaderResult;

typedef struct {
    uint64_t done, final_tail, _pad[6];
    ReaderResult results[READERS_MAX];
} Shared;

typedef struct {
    uint64_t generation, records;
} WriterTask;

static const char *path;
static uint64_t segment_bytes, record_size;
static Shared *shared;

static void view_stream(Stream *stream, int writable)
{
    REQUIRE(stream_view(stream, map_file(path, segment_bytes, writable), segment_bytes, !OPTION(EVENTS)),
            "the header does not fit");
}

static void record_fill(uint8_t *record, uint64_t sequence, uint64_t generation)
{
    memcpy(record, &sequence, 8);
    memcpy(record + 8, &generation, 8);
    content_fill(record + 16, record_size - 16, content_key(OPTION(SEED), sequence, (uint32_t)generation));
}

static void record_check(const uint8_t *record, uint64_t sequence, uint64_t *generation)
{
    uint64_t found, writer;
    memcpy(&found, record, 8);
    memcpy(&writer, record + 8, 8);
    REQUIRE(found == sequence, "record %llu where %llu belongs", (unsigned long long)found, (unsigned long long)sequence);
    REQUIRE(writer >= *generation, "torn: record %llu is of an earlier writer", (unsigned long long)sequence);
    REQUIRE(content_equal(record + 16, record_size - 16, content_key(OPTION(SEED), sequence, (uint32_t)writer)),
            "torn record %llu", (unsigned long long)sequence);
    *generation = writer;
}

static void *write_stream(void *argument)
{
    WriterTask task = *(WriterTask *)argument;
    Stream stream;
    uint8_t record[sizeof(TickC)];
    uint64_t tail, end, random = OPTION(SEED) ^ task.generation;
    view_stream(&stream, 1);
    tail = load_acquire(&stream.control->tail);
    end = task.records == UINT64_MAX ? UINT64_MAX : tail + task.records;
    while (tail < end) {
        uint64_t unit = 1 + random_next(&random) % UNIT_RECORDS;
        if (unit > end - tail) unit = end - tail;
        stream_retire(&stream, tail);
        for (uint64_t i = 0; i < unit; i++) {
            record_fill(record, tail + i, task.generation);
            shared_write(stream_slot(&stream, tail + i), record, record_size);
        }
        tail += unit;
        stream_publish(&stream, tail);
        if (random % 5 == 0) sched_yield();
    }
    return 0;
}

/* A slow reader now and then looks at a batch only when the writer must have lapped it. */
static void dawdle(const Stream *stream, uint64_t cursor)
{
    while (load_acquire(&stream->control->tail) <= cursor + stream->capacity && !load_acquire(&shared->done)) sched_yield();
}

static void *read_stream(void *argument)
{
    uint64_t number = (uint64_t)(uintptr_t)argument, cursor = OPTION(START), oldest = 0, generation = 0, random = number;
    ReaderResult result = {0};
    Stream stream;
    uint8_t *batch = malloc(BATCH * record_size);
    view_stream(&stream, 0);
    for (;;) {
        uint64_t done = load_acquire(&shared->done), tail = load_acquire(&stream.control->tail), count = tail - cursor;
        uint64_t oldest_before = oldest;
        oldest = load_acquire(&stream.control->oldest);
        REQUIRE(oldest >= oldest_before, "oldest went back");
        if (cursor >= tail) {
            if (done && cursor >= load_acquire(&shared->final_tail)) break;
            sched_yield();
            continue;
        }
        if (count > BATCH) count = BATCH;
        if (number % 2 && random_next(&random) % 256 == 0) dawdle(&stream, cursor);
        if (stream_copy(&stream, cursor, count, batch)) {
            for (uint64_t i = 0; i < count; i++) record_check(batch + i * record_size, cursor + i, &generation);
            cursor += count, result.delivered += count;
        } else {
            uint64_t resume = ring_resume_sequence(stream.control, stream.capacity, cursor);
            REQUIRE(resume > cursor, "a lapped reader stands still");
            result.lost += resume - cursor, result.rejected++;
            cursor = resume;
        }
    }
    shared->results[number] = result;
    free(batch);
    return 0;
}

static void write_all(void)
{
    uint64_t random = OPTION(SEED);
    WriterTask task = {1, UINT64_MAX};
    Worker writer = {write_stream, &task};
#ifndef PROOF_THREADS
    for (; task.generation <= OPTION(KILLS); task.generation++) {
        worker_start(&writer);
        usleep((useconds_t)(50 + random_next(&random) % 2000));
        kill(writer.pid, SIGKILL);
        worker_join_killed(&writer);
    }
#endif
    (void)random;
    for (int part = 0; part < 4; part++, task.generation++) {
        task.records = OPTION(RECORDS) / 4;
        worker_start(&writer);
        worker_join(&writer);
    }
}

static void create_stream(void)
{
    SegmentHeaderC *header;
    RingControlC *control;
    record_size = OPTION(EVENTS) ? sizeof(EventC) : sizeof(TickC);
    segment_bytes = DATA_OFFSET + stream_data_bytes(OPTION(CAPACITY), record_size, !OPTION(EVENTS));
    create_file(path, segment_bytes);
    header = map_file(path, segment_bytes, 1);
    header->capacity = OPTION(CAPACITY);
    header->record_size = (uint32_t)record_size;
    control = (RingControlC *)(void *)((uint8_t *)header + DATA_OFFSET);
    control->oldest = control->tail = OPTION(START);
}

static void report(void)
{
    ReaderResult sum = {0};
    uint64_t written = shared->final_tail - OPTION(START);
    for (uint64_t i = 0; i < OPTION(READERS); i++) {
        const ReaderResult *result = &shared->results[i];
        REQUIRE(result->delivered + result->lost == written, "reader %llu: %llu delivered, %llu lost, %llu written",
                (unsigned long long)i, (unsigned long long)result->delivered, (unsigned long long)result->lost,
                (unsigned long long)written);
        sum.delivered += result->delivered, sum.lost += result->lost, sum.rejected += result->rejected;
    }
    printf("{\"written\": %llu, \"delivered\": %llu, \"lost\": %llu, \"rejected\": %llu}\n", (unsigned long long)written,
           (unsigned long long)sum.delivered, (unsigned long long)sum.lost, (unsigned long long)sum.rejected);
}

int main(int count, char **words)
{
    Worker readers[READERS_MAX];
    Stream stream;
    path = parse_options(count, words, options);
    worker_deadline_s = (unsigned)OPTION(DEADLINE);
    set_deadline(worker_deadline_s);
    shared = map_shared_pages(sizeof *shared);
    create_stream();
    for (uint64_t i = 0; i < OPTION(READERS); i++) {
        readers[i] = (Worker){read_stream, (void *)(uintptr_t)i};
        worker_start(&readers[i]);
    }
    write_all();
    view_stream(&stream, 0);
    store_relaxed(&shared->final_tail, load_acquire(&stream.control->tail));
    store_release(&shared->done, 1);
    for (uint64_t i = 0; i < OPTION(READERS); i++) worker_join(&readers[i]);
    report();
    return 0;
}
