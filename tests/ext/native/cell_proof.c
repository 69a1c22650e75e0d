/* The two-copy cell under stress: a writer at full speed that is killed at random instants and
 * followed by a successor, and readers. The value of a version is known word for word, so that a
 * reader that accepts a mixture, or the value of another version, is found out.
 */
#include "proof.h"
#include "cell.h"

enum { WRITES, SEED, START, COPY_BYTES, READERS, KILLS, DEADLINE };
static Option options[] = {
    {"writes", 300000}, {"seed", 1}, {"start", 0}, {"copy_bytes", 320}, {"readers", 2}, {"kills", 0}, {"deadline", 100}, {0, 0},
};
#define OPTION(name) (options[name].value)
#define BURST 4

typedef struct {
    uint64_t done, read, again, newest, _pad[4];
} Shared;

typedef struct {
    uint64_t generation, writes;
} WriterTask;

static const char *path;
static uint64_t segment_bytes;
static Shared *shared;

/* Word 0 names the writer's generation; a killed writer leaves its mark in the copy under way. */
static void value_fill(uint8_t *value, uint64_t version, uint64_t generation)
{
    memcpy(value, &generation, 8);
    content_fill(value + 8, OPTION(COPY_BYTES) - 8, content_key(OPTION(SEED), version, (uint32_t)generation));
}

static void value_check(const uint8_t *value, uint64_t version)
{
    uint64_t generation;
    memcpy(&generation, value, 8);
    REQUIRE(content_equal(value + 8, OPTION(COPY_BYTES) - 8, content_key(OPTION(SEED), version, (uint32_t)generation)),
            "torn value at version %llu", (unsigned long long)version);
}

static void write_version(void *cell, const uint8_t *value, uint64_t version)
{
    if (version % 3) {
        cell_write(cell, value, OPTION(COPY_BYTES));
    } else { /* piecemeal, as a table is filled */
        uint8_t *copy = cell_begin(cell, OPTION(COPY_BYTES));
        for (uint64_t at = 0; at < OPTION(COPY_BYTES); at += 8) shared_write(copy + at, value + at, 8);
        cell_publish(cell);
    }
}

/* Values are made beforehand and written in bursts: a reader that is slower than two writes is
 * the one that a wrong rule betrays. */
static void *write_cell(void *argument)
{
    WriterTask task = *(WriterTask *)argument;
    void *cell = map_file(path, segment_bytes, 1);
    uint8_t *values = malloc(BURST * OPTION(COPY_BYTES));
    for (uint64_t i = 0; i < task.writes; i += BURST) {
        uint64_t version = cell_version(cell) + 1;
        for (uint64_t j = 0; j < BURST; j++) value_fill(values + j * OPTION(COPY_BYTES), version + j, task.generation);
        for (uint64_t j = 0; j < BURST; j++) write_version(cell, values + j * OPTION(COPY_BYTES), version + j);
        if (version % 61 == 0) sched_yield();
    }
    free(values);
    return 0;
}

static void *read_cell(void *argument)
{
    const void *cell = map_file(path, segment_bytes, 0);
    uint8_t *value = malloc(OPTION(COPY_BYTES));
    uint64_t last = 0, version, done;
    (void)argument;
    do {
        done = load_acquire(&shared->done);
        if (!cell_try_read(cell, value, OPTION(COPY_BYTES), &version)) {
            __atomic_fetch_add(&shared->again, 1, __ATOMIC_RELAXED);
            continue;
        }
        REQUIRE(version >= last, "the version went back");
        value_check(value, version);
        last = version;
        __atomic_fetch_add(&shared->read, 1, __ATOMIC_RELAXED);
    } while (!done);
    version = cell_read(cell, value, OPTION(COPY_BYTES));
    value_check(value, version);
    REQUIRE(version == cell_version(cell), "the last version was not read");
    free(value);
    return 0;
}

static void write_all(void)
{
    uint64_t random = OPTION(SEED);
    WriterTask task = {1, UINT64_MAX};
    Worker writer = {write_cell, &task};
#ifndef PROOF_THREADS
    for (; task.generation <= OPTION(KILLS); task.generation++) {
        worker_start(&writer);
        usleep((useconds_t)(50 + random_next(&random) % 2000));
        kill(writer.pid, SIGKILL);
        worker_join_killed(&writer);
    }
#endif
    (void)random;
    task.writes = OPTION(WRITES);
    worker_start(&writer);
    worker_join(&writer);
}

static void create_cell(void)
{
    CellHeadC *head;
    segment_bytes = cell_bytes(OPTION(COPY_BYTES));
    create_file(path, segment_bytes);
    head = map_file(path, segment_bytes, 1);
    head->version = OPTION(START);
    value_fill(cell_copy(head, OPTION(START), OPTION(COPY_BYTES)), OPTION(START), 0);
}

int main(int count, char **words)
{
    Worker readers[READERS_MAX];
    path = parse_options(count, words, options);
    worker_deadline_s = (unsigned)OPTION(DEADLINE);
    set_deadline(worker_deadline_s);
    shared = map_shared_pages(sizeof *shared);
    create_cell();
    for (uint64_t i = 0; i < OPTION(READERS); i++) {
        readers[i] = (Worker){read_cell, 0};
        worker_start(&readers[i]);
    }
    write_all();
    store_release(&shared->done, 1);
    for (uint64_t i = 0; i < OPTION(READERS); i++) worker_join(&readers[i]);
    printf("{\"versions\": %llu, \"read\": %llu, \"again\": %llu}\n",
           (unsigned long long)(cell_version(map_file(path, segment_bytes, 0)) - OPTION(START)),
           (unsigned long long)shared->read, (unsigned long long)shared->again);
    return 0;
}
