/* A decoder process's loop: all its lanes in turn, and a bell to sleep on when none has work.
 *
 * Runs without the interpreter for as long as it is told.
 */
#ifndef PIPELINE_DECODER_LOOP_H
#define PIPELINE_DECODER_LOOP_H

#include "bell.h"
#include "lane_frames.h"
#include "lane_open.h"

typedef struct {
    Lane **lanes;
    uint32_t lane_count;
    BellC *bell;                    /* this decoder's: rung by its feeds */
    ReaderRings *rings;             /* of its lanes' group */
    DecoderStatusC *status;
    Pace pace;
    int64_t spin_ns;
    Naps naps;
    const uint64_t *watched;        /* a version, or NULL: the loop ends when it is another one */
    uint64_t watched_version;
} DecoderLoop;

#define LANE_ROUND_UNITS 16u        /* before the next lane has its turn */
#define DECODER_SLEEP_NS_MAX (100 * NS_PER_S / 1000)

/* One turn of all lanes: the number of units done, or -1 without memory. */
static inline int decoder_round(DecoderLoop *loop, int64_t now_mono_ns, int *paced)
{
    int units = 0;
    loop->rings->round_mono_ns = now_mono_ns;
    for (uint32_t i = 0; i < loop->lane_count; i++)
        for (uint32_t done = 0; done < LANE_ROUND_UNITS; done++) {
            int status = lane_step(loop->lanes[i], &loop->pace, now_mono_ns);
            if (status == LANE_NO_MEMORY) return -1;
            if (status == LANE_PACED) *paced = 1;
            if (status != LANE_WORKED) break;
            units++;
        }
    return units;
}

/* Called before anything but decoding is done: by then everybody was told of what is published. */
static inline void decoder_ring_owed(DecoderLoop *loop)
{
    if (loop->rings->owed) readers_ring(loop->rings);
}

static inline int decoder_has_work(const DecoderLoop *loop)
{
    for (uint32_t i = 0; i < loop->lane_count; i++) {
        const Lane *lane = loop->lanes[i];
        if (lane->block.source_sequence < load_acquire(&lane->source.ring.control->tail)) return 1;
    }
    return 0;
}

/* Wait for the bell. Returns 1 when a signal came instead. */
static inline int decoder_wait(DecoderLoop *loop, int64_t timeout_ns)
{
    int64_t spin_until = loop->spin_ns ? monotonic_now_ns() + loop->spin_ns : 0;
    uint32_t seen = bell_look(loop->bell);
    while (spin_until && monotonic_now_ns() < spin_until) {
        if (decoder_has_work(loop)) return 0;
        cpu_pause();
    }
    bell_arm(loop->bell);
    if (decoder_has_work(loop)) return 0;
    loop->status->bell_waits++;
    return !bell_doze(loop->bell, seen, timeout_ns, &loop->naps) && errno == EINTR;
}

static inline void decoder_pause(DecoderLoop *loop, int64_t timeout_ns)
{
    struct timespec pause = {0, 1000000};
    if (timeout_ns < pause.tv_nsec) pause.tv_nsec = timeout_ns;
    loop->status->paced++;
    nanosleep(&pause, 0);
}

#define DECODER_IDLE_SLICES 5       /* of `duration_ns`, while there is nothing at all to decode */

/* Decode for up to `duration_ns`, then let the caller look at signals; five times as long while
 * there is nothing to decode, so that an idle decoder seldom runs the interpreter. A signal ends a
 * wait, a change of what is watched ends the run. Keeps the heartbeat. Ends early once idle if
 * `until_idle`. Returns the units done, or -1 without memory. */
static inline int64_t decoder_run(DecoderLoop *loop, int64_t duration_ns, int until_idle)
{
    int64_t now = monotonic_now_ns(), began = now, total = 0;
    int units = 0;
    for (;;) {
        int64_t left = began + (total ? duration_ns : duration_ns * DECODER_IDLE_SLICES) - now;
        int paced = 0;
        if (left <= 0 || (loop->watched && load_acquire(loop->watched) != loop->watched_version)) break;
        store_relaxed((uint64_t *)&loop->status->head.heartbeat_mono_ns, (uint64_t)now);
        units = decoder_round(loop, now, &paced);
        if (units < 0) break;
        total += units;
        if (units == 0) {
            decoder_ring_owed(loop);
            if (paced) decoder_pause(loop, left);
            else if (until_idle) break;
            else if (decoder_wait(loop, left < DECODER_SLEEP_NS_MAX ? left : DECODER_SLEEP_NS_MAX)) break;
        }
        now = monotonic_now_ns();
    }
    decoder_ring_owed(loop);
    return units < 0 ? -1 : total;
}

#endif
