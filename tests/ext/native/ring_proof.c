/* The frame ring under stress: a writer at full speed, readers of which some are slow, writers
 * that are killed at random instants or at each crash point, the heir that appends a STATE after
 * each death, and successors. Every message handed out is exactly what was written, in order, and
 * delivered + lost = written for each reader.
 */
#include "proof.h"
#include "ring.h"

enum { RECORDS, SEED, START, CAPACITY, AREA, LENGTH_MAX, READERS, KILLS, CRASHES, DEADLINE };
static Option options[] = {
    {"records", 200000}, {"seed", 1}, {"start", 0}, {"capacity", 61}, {"area", 8192}, {"length_max", 1 << 20},
    {"readers", 3}, {"kills", 0}, {"crashes", 0}, {"deadline", 100}, {0, 0},
};
#define OPTION(name) (options[name].value)

typedef struct {
    uint64_t delivered, lost, laps, rejected, states;
    uint64_t _pad[3];
} ReaderResult;

typedef struct {
    uint64_t done, final_tail, generation, _pad[5];
    ReaderResult results[READERS_MAX];
} Shared;

typedef struct {
    uint32_t generation;
    uint64_t records; /* how many this writer appends before it ends */
    int crash_point;
    long crash_passage;
} WriterTask;

static const char *path;
static uint64_t segment_bytes;
static Shared *shared;

static void view_ring(FrameRing *ring, int writable)
{
    REQUIRE(frame_ring_view(ring, map_file(path, segment_bytes, writable), segment_bytes), "the header does not fit");
}

static int is_state(uint64_t key) { return key % 53 == 7; }

static uint64_t message_length(uint64_t key, uint64_t length_max)
{
    uint64_t choice = mix(key), usual = length_max < 200 ? length_max : 200;
    if (choice % 16 == 0) return mix(choice) % (length_max + 1);
    return choice % 16 == 1 ? 0 : mix(choice) % (usual + 1);
}

static uint64_t length_limit(const FrameRing *ring)
{
    uint64_t limit = frame_ring_message_bytes_max(ring);
    return limit < OPTION(LENGTH_MAX) ? limit : OPTION(LENGTH_MAX);
}

static void append_state(FrameRingWriter *writer, uint32_t generation)
{
    uint64_t key = content_key(OPTION(SEED), writer->tail, generation);
    frame_ring_append_state(writer, (uint8_t)key, (uint8_t)(key >> 8), (int64_t)mix(key), generation, (int64_t)(key >> 1),
                            (int64_t)(key >> 2));
}

static void append_message(FrameRingWriter *writer, uint32_t generation, uint8_t *buffer)
{
    uint64_t key = content_key(OPTION(SEED), writer->tail, generation);
    uint64_t length = message_length(key, length_limit(&writer->ring));
    content_fill(buffer, length, key);
    if (key % 5 == 0) REQUIRE(frame_ring_reserve(writer, length / 2), "a reservation that is given up again");
    REQUIRE(frame_ring_add(writer, buffer, length, generation, (int64_t)(key >> 1), (int64_t)(key >> 2)),
            "a message of %llu bytes was refused", (unsigned long long)length);
    REQUIRE(writer->oldest <= writer->published, "the newest published message was given up");
    if (mix(~key) % 8 == 0) frame_ring_flush(writer);
}

static void *write_ring(void *argument)
{
    WriterTask task = *(WriterTask *)argument;
    FrameRing ring;
    FrameRingWriter writer;
    uint8_t *buffer = malloc(OPTION(AREA) / 4 + 8);
    view_ring(&ring, 1);
    frame_ring_writer_open(&writer, &ring);
#ifdef PIPELINE_CHECKED
    crash_armed = task.crash_point;
    crash_passages_left = task.crash_passage;
#endif
    for (uint64_t i = 0; i < task.records; i++) {
        uint64_t key = content_key(OPTION(SEED), writer.tail, task.generation);
        if (is_state(key)) append_state(&writer, task.generation);
        else append_message(&writer, task.generation, buffer);
        if (key % 199 == 0) sched_yield();
    }
    frame_ring_flush(&writer);
    REQUIRE(!frame_ring_reserve(&writer, frame_ring_message_bytes_max(&ring) + 1), "a message too long was taken");
    free(buffer);
    return 0;
}

/* oldest and tail never go back, and the writer keeps at least one message. */
typedef struct {
    uint64_t oldest, tail;
} Watch;

static void watch(Watch *last, const FrameRing *ring)
{
    uint64_t oldest = load_acquire(&ring->control->oldest), tail = load_acquire(&ring->control->tail);
    REQUIRE(oldest >= last->oldest, "oldest went back from %llu to %llu", (unsigned long long)last->oldest,
            (unsigned long long)oldest);
    REQUIRE(tail >= last->tail, "tail went back");
    REQUIRE(oldest <= tail, "oldest %llu is beyond tail %llu", (unsigned long long)oldest, (unsigned long long)tail);
    last->oldest = oldest, last->tail = tail;
}

static void check_message(const FrameDescriptorC *descriptor, const uint8_t *bytes, uint64_t sequence, uint64_t length_max,
                          uint32_t *generation)
{
    uint64_t key = content_key(OPTION(SEED), sequence, descriptor->connection_epoch);
    int state = descriptor->kind == FRAME_STATE;
    uint64_t length = state ? 0 : message_length(key, length_max);
    REQUIRE(descriptor->connection_epoch >= *generation, "torn: sequence %llu is of an earlier writer",
            (unsigned long long)sequence);
    REQUIRE(state || descriptor->kind == FRAME_MESSAGE, "torn: kind %u", descriptor->kind);
    REQUIRE(descriptor->receive_ts_ns == (int64_t)(key >> 1) && descriptor->receive_mono_ns == (int64_t)(key >> 2) &&
                descriptor->detail == (state ? (int64_t)mix(key) : 0) && descriptor->length == length,
            "torn descriptor at sequence %llu", (unsigned long long)sequence);
    REQUIRE(content_equal(bytes, length, key), "torn bytes at sequence %llu", (unsigned long long)sequence);
    *generation = descriptor->connection_epoch;
}

/* A slow reader now and then holds a message until the writer must have lapped it. */
static void dawdle(const FrameRing *ring, uint64_t cursor)
{
    while (load_acquire(&ring->control->tail) <= cursor + ring->capacity && !load_acquire(&shared->done)) sched_yield();
}

static void *read_ring(void *argument)
{
    uint64_t number = (uint64_t)(uintptr_t)argument, length_max;
    ReaderResult result = {0};
    FrameRingReader reader = {.cursor = OPTION(START)};
    Watch last = {0};
    uint32_t generation = 0;
    uint8_t *copy = malloc(OPTION(AREA) + 8);
    view_ring(&reader.ring, 0);
    length_max = length_limit(&reader.ring);
    for (;;) {
        FrameDescriptorC descriptor;
        const uint8_t *bytes = 0;
        uint64_t done = load_acquire(&shared->done);
        int status = frame_ring_peek(&reader, &descriptor, &bytes);
        watch(&last, &reader.ring);
        if (status == RING_EMPTY) {
            if (done && reader.cursor >= load_acquire(&shared->final_tail)) break;
            sched_yield();
            continue;
        }
        if (status == RING_READY) {
            if (number % 2 && mix(reader.cursor) % 512 == 0) dawdle(&reader.ring, reader.cursor);
            shared_read(copy, bytes, descriptor.length);
            if (frame_ring_holds(&reader.ring, reader.cursor)) {
                check_message(&descriptor, copy, reader.cursor, length_max, &generation);
                result.states += descriptor.kind == FRAME_STATE;
                result.delivered++, reader.cursor++;
                continue;
            }
            result.rejected++;
        }
        uint64_t resume = ring_resume_sequence(reader.ring.control, reader.ring.capacity, reader.cursor);
        REQUIRE(resume > reader.cursor, "a lapped reader stands still");
        result.lost += resume - reader.cursor, result.laps++;
        reader.cursor = resume;
    }
    REQUIRE(reader.cursor == shared->final_tail, "a reader ended beyond the tail");
    shared->results[number] = result;
    free(copy);
    return 0;
}

static void run_writer(WriterTask *task, uint64_t kill_after_us)
{
    Worker worker = {write_ring, task};
    worker_start(&worker);
#ifndef PROOF_THREADS
    if (kill_after_us) {
        usleep((useconds_t)kill_after_us);
        kill(worker.pid, SIGKILL);
    }
    if (kill_after_us || task->crash_point >= 0) {
        worker_join_killed(&worker);
        return;
    }
#endif
    (void)kill_after_us;
    worker_join(&worker);
}

/* What the supervisor does once it has reaped a writer. */
static void inherit(uint32_t generation)
{
    FrameRing ring;
    FrameRingWriter writer;
    view_ring(&ring, 1);
    frame_ring_writer_open(&writer, &ring);
    append_state(&writer, generation);
}

static void write_all(void)
{
    uint64_t random = OPTION(SEED);
    WriterTask task = {.generation = 1, .crash_point = -1};
    for (uint64_t i = 0; i < OPTION(KILLS); i++, task.generation++) {
        task.records = UINT64_MAX;
        run_writer(&task, 50 + random_next(&random) % 2000);
        inherit(++task.generation);
    }
    for (uint64_t passage = 1; passage <= OPTION(CRASHES); passage++) {
        for (int point = CRASH_frame_before_oldest; point <= CRASH_frame_after_tail; point++, task.generation++) {
            task.records = UINT64_MAX, task.crash_point = point, task.crash_passage = (long)passage;
            run_writer(&task, 0);
            inherit(++task.generation);
        }
    }
    task.crash_point = -1;
    for (int part = 0; part < 4; part++, task.generation++) {
        task.records = OPTION(RECORDS) / 4;
        run_writer(&task, 0);
    }
}

static void create_ring(void)
{
    SegmentHeaderC *header;
    RingControlC *control;
    segment_bytes = DATA_OFFSET + frame_ring_data_bytes(OPTION(CAPACITY), OPTION(AREA));
    create_file(path, segment_bytes);
    header = map_file(path, segment_bytes, 1);
    header->capacity = OPTION(CAPACITY);
    header->area_bytes = OPTION(AREA);
    control = (RingControlC *)(void *)((uint8_t *)header + DATA_OFFSET);
    control->oldest = control->tail = OPTION(START);
}

static void report(void)
{
    ReaderResult sum = {0};
    for (uint64_t i = 0; i < OPTION(READERS); i++) {
        const ReaderResult *result = &shared->results[i];
        REQUIRE(result->delivered + result->lost == shared->final_tail - OPTION(START),
                "reader %llu: %llu delivered, %llu lost, %llu written", (unsigned long long)i,
                (unsigned long long)result->delivered, (unsigned long long)result->lost,
                (unsigned long long)(shared->final_tail - OPTION(START)));
        sum.delivered += result->delivered, sum.lost += result->lost, sum.laps += result->laps;
        sum.rejected += result->rejected, sum.states += result->states;
    }
    printf("{\"written\": %llu, \"delivered\": %llu, \"lost\": %llu, \"laps\": %llu, \"rejected\": %llu, \"states\": %llu}\n",
           (unsigned long long)(shared->final_tail - OPTION(START)), (unsigned long long)sum.delivered,
           (unsigned long long)sum.lost, (unsigned long long)sum.laps, (unsigned long long)sum.rejected,
           (unsigned long long)sum.states);
}

int main(int count, char **words)
{
    Worker readers[READERS_MAX];
    FrameRing ring;
    path = parse_options(count, words, options);
    worker_deadline_s = (unsigned)OPTION(DEADLINE);
    set_deadline(worker_deadline_s);
    shared = map_shared_pages(sizeof *shared);
    create_ring();
    for (uint64_t i = 0; i < OPTION(READERS); i++) {
        readers[i] = (Worker){read_ring, (void *)(uintptr_t)i};
        worker_start(&readers[i]);
    }
    write_all();
    view_ring(&ring, 0);
    store_relaxed(&shared->final_tail, load_acquire(&ring.control->tail));
    store_release(&shared->done, 1);
    for (uint64_t i = 0; i < OPTION(READERS); i++) worker_join(&readers[i]);
    report();
    return 0;
}
