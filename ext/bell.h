/* A bell: how writers wake sleeping readers without a lock, and without a system call when
 * nobody sleeps. It carries no data; whoever wakes looks at the tails.
 *
 *   reader: v = word · look at the tails · sleepers = 1 · full fence · look again · FUTEX_WAIT(v)
 *   writer: tail · full fence · if sleepers: sleepers = 0, then word += 1, wake all
 *
 * The writer clears `sleepers` before it moves the word: the other order could wipe out the mark
 * of a reader that had already seen the new word, and that reader would sleep through the next
 * ring. Every wait has a timeout, so that even the wake of a writer that dies between the two
 * costs at most that.
 */
#ifndef PIPELINE_BELL_H
#define PIPELINE_BELL_H

#include "atomics.h"
#include "crash.h"
#include "layout.h"

#include <errno.h>
#include <time.h>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

static inline int64_t monotonic_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static inline uint32_t bell_look(const BellC *bell) { return load_acquire_u32(&bell->word); }

static inline void bell_arm(BellC *bell)
{
    store_relaxed_u32(&bell->sleepers, 1);
    fence_full();
}

/* Sleep until the word differs from `seen` or the time is over. Returns 1 when it was rung. */
static inline int bell_sleep(BellC *bell, uint32_t seen, int64_t timeout_ns)
{
    struct timespec timeout = {timeout_ns / 1000000000, timeout_ns % 1000000000};
#ifdef __linux__
    long result = syscall(SYS_futex, &bell->word, FUTEX_WAIT, seen, &timeout, 0, 0);
    return result == 0 || errno == EAGAIN;
#else
    struct timespec poll = {0, 500000}; /* no futex: timed polling */
    if (timeout.tv_sec == 0 && timeout.tv_nsec < poll.tv_nsec) poll = timeout;
    if (bell_look(bell) == seen) nanosleep(&poll, 0);
    return bell_look(bell) != seen;
#endif
}

/* Naps: what keeps a waiter's core at hand.
 *
 * A processor that has idled for milliseconds takes up to a hundred microseconds to come back, out
 * of a deep sleep or by way of a hypervisor, and then has cold caches. A waiter with naps wakes by
 * itself every `nap_ns`, so that neither goes far, and sleeps on with the same `seen`. Not where
 * rings come so often that nothing is idle for long, nor where they are rare: an instance that gets
 * heartbeats alone sleeps. Nor where they have ceased. Rings within a nap of each other, as of
 * several feeds at once, are one. */
typedef struct {
    int64_t nap_ns;                 /* 0: none */
    int64_t gap_ns;                 /* the longest between rings, of which each ring forgets an eighth */
    int64_t rung_mono_ns;
} Naps;

#define NAP_NS_MAX 5000000
#define NAP_GAP_NS_MAX 20000000     /* rarer rings find us asleep */
#define NAP_GAP_NAPS_MIN 3          /* more frequent ones as well: a timer for each would win nothing */
#define NAP_GAPS_MAX 8              /* of silence, after which they have ceased */

/* How long to sleep at once, of `left_ns`. */
static inline int64_t naps_slice(const Naps *naps, int64_t now_mono_ns, int64_t left_ns)
{
    if (naps->gap_ns < NAP_GAP_NAPS_MIN * naps->nap_ns || naps->gap_ns > NAP_GAP_NS_MAX) return left_ns;
    if (now_mono_ns - naps->rung_mono_ns > NAP_GAPS_MAX * naps->gap_ns) return left_ns;
    return naps->nap_ns < left_ns ? naps->nap_ns : left_ns;
}

static inline void naps_note_ring(Naps *naps, int64_t now_mono_ns)
{
    int64_t gap_ns = now_mono_ns - naps->rung_mono_ns;
    if (gap_ns < naps->nap_ns) return;
    if (gap_ns > NAP_GAPS_MAX * NAP_GAP_NS_MAX) gap_ns = NAP_GAPS_MAX * NAP_GAP_NS_MAX; /* a night */
    naps->gap_ns -= naps->gap_ns / 8;
    if (gap_ns > naps->gap_ns) naps->gap_ns = gap_ns;
    naps->rung_mono_ns = now_mono_ns;
}

/* bell_sleep with naps. Returns 1 when it was rung; else errno is EINTR if a signal interrupted it.
 * One that comes just as a nap ends interrupts nothing, and is heard when the caller's time is over,
 * as is one that comes just before any wait. */
static inline int bell_doze(BellC *bell, uint32_t seen, int64_t timeout_ns, Naps *naps)
{
    int64_t now, until;
    int rung = 0;
    errno = 0;
    if (naps->nap_ns <= 0) return bell_sleep(bell, seen, timeout_ns);
    now = monotonic_now_ns(), until = now + timeout_ns;
    while (!rung && now < until && errno != EINTR) {
        rung = bell_sleep(bell, seen, naps_slice(naps, now, until - now));
        now = monotonic_now_ns();
    }
    if (rung) naps_note_ring(naps, now);
    return rung;
}

/* Wake whoever sleeps, marked or not: what the successor of a dead writer does once, because its
 * predecessor may have cleared the mark and died before it woke anybody. */
static inline void bell_wake(BellC *bell)
{
    store_relaxed_u32(&bell->sleepers, 0);
    CRASH_POINT(bell_after_sleepers);
    add_release_u32(&bell->word, 1);
    CRASH_POINT(bell_after_word);
    store_relaxed(&bell->rings, load_relaxed(&bell->rings) + 1); /* for people: racing writers may lose a count */
    CRASH_POINT(bell_before_wake);
#ifdef __linux__
    syscall(SYS_futex, &bell->word, FUTEX_WAKE, 0x7fffffff, 0, 0, 0);
#endif
}

static inline void bell_ring(BellC *bell)
{
    fence_full(); /* tail before sleepers; pairs with bell_arm */
    if (load_relaxed_u32(&bell->sleepers)) bell_wake(bell);
}

#endif
