/* Named crash points: in the checked build a process can be made to die exactly here.
 *
 * In every other build CRASH_POINT is nothing. The names are listed once, so that a test can
 * visit every point; a point that is passed n times can be armed for its n-th passage.
 */
#ifndef PIPELINE_CRASH_H
#define PIPELINE_CRASH_H

#define CRASH_POINTS(X) \
    X(unit_before_oldest) \
    X(unit_between_oldest) \
    X(unit_after_oldest) \
    X(unit_after_slots) \
    X(unit_after_recheck) \
    X(commit_before_flip) \
    X(commit_inside_copy) \
    X(commit_after_copy) \
    X(commit_after_flip) \
    X(latest_before_slot) \
    X(latest_inside_slot) \
    X(latest_after_copy) \
    X(latest_after_slot) \
    X(confirm_after_time) \
    X(confirm_after_token) \
    X(confirm_after_mode) \
    X(confirm_after_epoch) \
    X(latest_after_all) \
    X(tails_before_events) \
    X(tails_after_events) \
    X(tails_after_ticks) \
    X(bell_after_sleepers) \
    X(bell_after_word) \
    X(bell_before_wake) \
    X(bell_after_ring) \
    X(forward_before_latest) \
    X(forward_after_latest) \
    X(forward_before_tails) \
    X(forward_after_events) \
    X(forward_after_tails) \
    X(forward_after_ring) \
    X(frame_before_oldest) \
    X(frame_after_oldest) \
    X(frame_after_bytes) \
    X(frame_after_descriptor) \
    X(frame_after_tail)

#define CRASH_POINT_ID(name) CRASH_##name,
enum CrashPoint { CRASH_POINTS(CRASH_POINT_ID) CRASH_POINT_COUNT };
#undef CRASH_POINT_ID

#define CRASH_POINT_NAME(name) #name,
static const char *const CRASH_POINT_NAMES[] = { CRASH_POINTS(CRASH_POINT_NAME) 0 };
#undef CRASH_POINT_NAME

#ifdef PIPELINE_CHECKED
#include <signal.h>
#include <unistd.h>

/* One pair per extension module; the module that runs the loop arms its own. */
static int crash_armed = -1;
static long crash_passages_left = 0;
static int crash_signal = SIGKILL;

static inline int crash_arm(int point, long passage, int signal_number)
{
    crash_armed = point;
    crash_passages_left = passage;
    crash_signal = signal_number;
    return 1;
}

static inline void crash_pass(int point)
{
    if (point == crash_armed && --crash_passages_left == 0) {
        kill(getpid(), crash_signal);
        for (;;) pause();
    }
}
#define CRASH_POINT(name) crash_pass(CRASH_##name)

/* shared_write in two parts, so that there is a middle to die in. */
#define CRASH_WRITE(name, target, source, bytes) \
    do { \
        size_t half_ = ((bytes) / 2) & ~(size_t)7; \
        shared_write((target), (source), half_); \
        CRASH_POINT(name); \
        shared_write((uint8_t *)(target) + half_, (const uint8_t *)(source) + half_, (bytes) - half_); \
    } while (0)
#else
#define CRASH_POINT(name) ((void)0)
#define CRASH_WRITE(name, target, source, bytes) shared_write((target), (source), (bytes))

static inline int crash_arm(int point, long passage, int signal_number)
{
    (void)point, (void)passage, (void)signal_number;
    return 0;
}
#endif

#endif
