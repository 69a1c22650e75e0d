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
