/* Litmus tests of the fence protocol: two threads run a few instructions against each other again
 * and again, and the outcomes that must not occur are counted.
 *
 *   shape=0  message passing: data, store tail (release) | load tail (acquire), data
 *   shape=1  the ring rule: oldest, release fence, data, tail | tail, data, acquire fence, oldest
 *   shape=2  store buffering, as the bell: tail, full fence, sleepers | sleepers, full fence, tail
 *
 * With guard=0 the check that makes the shape safe is left out (the look at oldest, the full
 * fence), and the forbidden outcome must be seen, or the test is blind.
 */
#define _GNU_SOURCE
#define PROOF_THREADS
#include "proof.h"

enum { SHAPE, ROUNDS, GUARD, SECONDS };
static Option options[] = {{"shape", 0}, {"rounds", 200000}, {"guard", 1}, {"seconds", 20}, {0, 0}};
#define OPTION(name) (options[name].value)
#define WORDS 4
#define BATCH 128 /* meetings of two threads are dear: each serves for many places */

typedef struct {
    uint64_t word, _pad[15]; /* two lines: the neighbour is fetched along */
} Line;

static Line oldest, tail, turn[2], ring_tail[BATCH], ring_sleepers[BATCH];
static uint64_t data[WORDS] __attribute__((aligned(64)));
static uint64_t saw_tail[BATCH], saw_sleepers[BATCH];
static uint64_t done, accepted, forbidden;

/* Each thread has a processor of its own: two on one would never run against each other. */
static void take_processor(int number)
{
    cpu_set_t allowed, own;
    CPU_ZERO(&own);
    REQUIRE(!sched_getaffinity(0, sizeof allowed, &allowed), "no processors");
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed) || number--) continue;
        CPU_SET(cpu, &own);
        sched_setaffinity(0, sizeof own, &own);
        return;
    }
}

/* Both threads leave together, as nearly as two processors can. A thread that waits keeps its
 * processor for long, so that the other finds it running once it runs itself. */
static void meet(int self, uint64_t round)
{
    unsigned spins = 0;
    store_release(&turn[self].word, round);
    while (load_acquire(&turn[!self].word) < round) {
        if (++spins % 65536) cpu_pause();
        else sched_yield();
    }
}

static void *write_side(void *argument)
{
    (void)argument;
    take_processor(0);
    for (uint64_t round = 1; round <= OPTION(ROUNDS); round++) {
        store_relaxed(&oldest.word, round);
        fence_release();
        for (int i = 0; i < WORDS; i++) store_relaxed(&data[i], round);
        store_release(&tail.word, round);
        pause_some(mix(round) % 16);
    }
    store_release(&done, 1);
    return 0;
}

static void *read_side(void *argument)
{
    uint64_t words[WORDS];
    (void)argument;
    take_processor(1);
    while (!load_acquire(&done)) {
        uint64_t published = load_acquire(&tail.word);
        int valid, same = 1;
        for (int i = 0; i < WORDS; i++) words[i] = load_relaxed(&data[i]);
        fence_acquire();
        valid = OPTION(SHAPE) == 0 || !OPTION(GUARD) || load_relaxed(&oldest.word) <= published;
        for (int i = 0; i < WORDS; i++) same &= OPTION(SHAPE) ? words[i] == published : words[i] >= published;
        accepted += (uint64_t)valid;
        forbidden += (uint64_t)(valid && !same);
    }
    return 0;
}

static void *ring_side(void *argument)
{
    int guard = OPTION(GUARD) != 0;
    (void)argument;
    take_processor(0);
    for (uint64_t round = 1; round <= OPTION(ROUNDS) && !load_acquire(&done); round++) {
        meet(0, 2 * round);
        pause_some(mix(round) % 4);
        for (int i = 0; i < BATCH; i++) {
            store_relaxed(&ring_tail[i].word, round);
            if (guard) fence_full();
            saw_sleepers[i] = load_relaxed(&ring_sleepers[i].word);
        }
        meet(0, 2 * round + 1);
    }
    store_release(&turn[0].word, UINT64_MAX);
    return 0;
}

static void *sleep_side(void *argument)
{
    time_t until = time(0) + (time_t)OPTION(SECONDS);
    int guard = OPTION(GUARD) != 0;
    (void)argument;
    take_processor(1);
    for (uint64_t round = 1; round <= OPTION(ROUNDS) && !load_acquire(&done); round++) {
        meet(1, 2 * round);
        pause_some(mix(~round) % 4);
        for (int i = 0; i < BATCH; i++) {
            store_relaxed(&ring_sleepers[i].word, round);
            if (guard) fence_full();
            saw_tail[i] = load_relaxed(&ring_tail[i].word);
        }
        meet(1, 2 * round + 1);
        for (int i = 0; i < BATCH; i++) forbidden += saw_tail[i] < round && saw_sleepers[i] < round;
        accepted += BATCH;
        if (time(0) >= until || (!guard && forbidden)) store_release(&done, 1);
    }
    store_release(&turn[1].word, UINT64_MAX);
    return 0;
}

int main(int count, char **words)
{
    Worker first = {write_side, 0}, second = {read_side, 0};
    parse_options(count, words, options);
    set_deadline((unsigned)OPTION(SECONDS) * 4);
    if (OPTION(SHAPE) == 2) first.body = ring_side, second.body = sleep_side;
    worker_start(&first);
    worker_start(&second);
    worker_join(&first);
    worker_join(&second);
    printf("{\"accepted\": %llu, \"forbidden\": %llu}\n", (unsigned long long)accepted, (unsigned long long)forbidden);
    return 0;
}
