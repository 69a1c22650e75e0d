/* The bell under stress: producers and consumers that wait for each other, round after round,
 * through two bells and with a timeout that no healthy run reaches. One lost wake-up, and the
 * timeout (or the deadline) ends the proof.
 */
#include "proof.h"
#include "bell.h"

#include <sys/prctl.h>

enum { ROUNDS, SEED, PRODUCERS, CONSUMERS, TIMEOUT, DEADLINE, NAP };
static Option options[] = {
    {"rounds", 20000}, {"seed", 1}, {"producers", 1}, {"consumers", 1}, {"timeout_s", 30}, {"deadline", 100},
    {"nap_ns", 0}, {0, 0},
};
#define OPTION(name) (options[name].value)

typedef struct {
    uint64_t tail, _pad[7];
} Line;

typedef struct {
    BellC there, back;
    Line produced[READERS_MAX], consumed[READERS_MAX];
    uint64_t sleeps;
} Shared;

static Shared *shared;

static int all_reached(const Line *lines, uint64_t count, uint64_t round)
{
    for (uint64_t i = 0; i < count; i++)
        if (load_acquire(&lines[i].tail) < round) return 0;
    return 1;
}

/* What every reader does: look, mark, look again, sleep. */
static void wait_round(BellC *bell, const Line *lines, uint64_t count, uint64_t round, uint64_t *random, Naps *naps)
{
    for (;;) {
        uint32_t seen = bell_look(bell);
        if (all_reached(lines, count, round)) return;
        pause_some(random_next(random) % (*random % 4 ? 32 : 2048)); /* a wake-up takes about as long */
        bell_arm(bell);
        if (all_reached(lines, count, round)) return;
        __atomic_fetch_add(&shared->sleeps, 1, __ATOMIC_RELAXED);
        REQUIRE(bell_doze(bell, seen, (int64_t)OPTION(TIMEOUT) * 1000000000, naps) || errno != ETIMEDOUT,
                "lost wake-up in round %llu", (unsigned long long)round);
    }
}

static void *produce(void *argument)
{
    uint64_t number = (uint64_t)(uintptr_t)argument, random = OPTION(SEED) * 100 + number;
    Naps naps = {(int64_t)OPTION(NAP), 0, 0};
    for (uint64_t round = 1; round <= OPTION(ROUNDS); round++) {
        pause_some(random_next(&random) % 128);
        store_release(&shared->produced[number].tail, round);
        bell_ring(&shared->there);
        wait_round(&shared->back, shared->consumed, OPTION(CONSUMERS), round, &random, &naps);
    }
    return 0;
}

static void *consume(void *argument)
{
    uint64_t number = (uint64_t)(uintptr_t)argument, random = OPTION(SEED) * 100 + 50 + number;
    Naps naps = {(int64_t)OPTION(NAP), 0, 0};
    for (uint64_t round = 1; round <= OPTION(ROUNDS); round++) {
        wait_round(&shared->there, shared->produced, OPTION(PRODUCERS), round, &random, &naps);
        store_release(&shared->consumed[number].tail, round);
        bell_ring(&shared->back);
    }
    return 0;
}

int main(int count, char **words)
{
    Worker workers[2 * READERS_MAX];
    uint64_t started = 0;
    parse_options(count, words, options);
    worker_deadline_s = (unsigned)OPTION(DEADLINE);
    set_deadline(worker_deadline_s);
    shared = map_shared_pages(sizeof *shared);
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0); /* else the shortest nap is longer than a round */
    for (uint64_t i = 0; i < OPTION(CONSUMERS); i++) workers[started++] = (Worker){consume, (void *)(uintptr_t)i};
    for (uint64_t i = 0; i < OPTION(PRODUCERS); i++) workers[started++] = (Worker){produce, (void *)(uintptr_t)i};
    for (uint64_t i = 0; i < started; i++) worker_start(&workers[i]);
    for (uint64_t i = 0; i < started; i++) worker_join(&workers[i]);
    printf("{\"rounds\": %llu, \"sleeps\": %llu, \"rings\": %llu}\n", (unsigned long long)OPTION(ROUNDS),
           (unsigned long long)shared->sleeps, (unsigned long long)(shared->there.rings + shared->back.rings));
    return 0;
}
