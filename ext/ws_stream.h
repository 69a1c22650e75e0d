/* The read loop of a feed: a socket in, binary messages into a sink, the rest to the
 * caller. Runs without the interpreter; nothing is allocated.
 *
 * The receive time of a message is the return of the read that delivered its last byte. Binary
 * messages go to the sink as they are. Text, close, pong and such pings as are to be answered end
 * the call with STREAM_EVENT; the next call goes on with the bytes behind them. Every number that
 * leaves here is counted in a FeedStatusC, which may lie in shared memory.
 */
#ifndef PIPELINE_WS_STREAM_H
#define PIPELINE_WS_STREAM_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* ppoll */
#endif
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "layout.h"
#include "ws.h"

#define PONGS_PER_SECOND 20
#define PINGS_PER_SECOND_MAX 1000
#define SECOND_NS 1000000000ll
#define HEARTBEAT_BYTES_MAX 1 /* a binary message of this size says "alive", no more */
#define WAIT_SLICE_NS 50000000ll /* a wait stops that often for a heartbeat and a look at `watch` */

enum StreamResult {
    STREAM_IDLE = 0,        /* not a byte until the deadline */
    STREAM_BUSY = 1,        /* bytes came; more may wait */
    STREAM_EVENT = 2,       /* a message for the caller */
    STREAM_WRITABLE = 3,    /* asked for, and so */
    STREAM_INTERRUPTED = 4, /* a signal came: in the wait, or by `wake_fd` before it */
    STREAM_ENDED = 5        /* see reason, error_number and parser.close_code */
};

typedef struct {
    void *context;
    void (*publish)(void *context, const uint8_t *payload, size_t length, int64_t receive_ts_ns,
                    int64_t receive_mono_ns); /* NULL: binary messages are events, too */
    void (*flush)(void *context);             /* after each read that published anything */
} ws_sink;

typedef struct {
    int64_t sent_mono_ns[PONGS_PER_SECOND]; /* of the last answers, a ring */
    int64_t second_mono_ns;                 /* when the second began that is being counted */
    uint32_t next;
    uint32_t pings;                         /* in that second */
    uint8_t waiting;                        /* a ping is kept for later, the latest */
    uint8_t length;
    uint8_t payload[WS_CONTROL_MAX];
} ws_ping_limit;

typedef struct {
    ws_parser parser;
    ws_sink sink;
    FeedStatusC *status;
    ws_ping_limit pings;
    size_t read_bytes_max;
    size_t last_read_bytes;
    int64_t frame_deadline_ns;   /* from a frame's first byte to its last */
    int64_t spin_ns;             /* of polling before a wait sleeps */
    int64_t receive_ts_ns;
    int64_t receive_mono_ns;
    int64_t frame_since_mono_ns; /* first byte of the incomplete frame, 0 = none */
    uint64_t published;          /* since the last flush */
    const uint64_t *watch;       /* a wait ends when this word is no longer watch_seen; NULL: none */
    uint64_t watch_seen;
    int wake_fd;                 /* a wait ends when it can be read; -1: none. Drained here */
    int blocks;                  /* the socket's own waits end after WAIT_SLICE_NS (SO_RCVTIMEO) */
    int error_number;
    uint8_t reason;              /* enum Reason, once ended */
} ws_stream;

static inline int64_t ws_clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

static inline void ws_stream_init(ws_stream *s, FeedStatusC *status, size_t read_bytes_max,
                                  int64_t frame_deadline_ns, int64_t spin_ns) {
    s->status = status;
    s->read_bytes_max = read_bytes_max;
    s->frame_deadline_ns = frame_deadline_ns;
    s->spin_ns = spin_ns;
    s->wake_fd = -1;
    for (int i = 0; i < PONGS_PER_SECOND; i++) s->pings.sent_mono_ns[i] = -SECOND_NS;
}

/* ---- ends ------------------------------------------------------------------------------------ */

static inline int ws_stream_end(ws_stream *s, uint8_t reason, int error_number) {
    s->reason = reason;
    s->error_number = error_number;
    if (reason == REASON_RESET || reason == REASON_EOF) s->status->resets++;
    if (reason == REASON_PROTOCOL_ERROR) s->status->protocol_errors++;
    if (reason == REASON_BAD_UTF8) s->status->utf8_errors++;
    if (reason == REASON_TOO_BIG) s->status->too_big++;
    if (reason == REASON_SLOW_FRAME) s->status->slow_frames++;
    if (reason == REASON_PING_FLOOD) s->status->ping_floods++;
    return STREAM_ENDED;
}

static inline int ws_stream_failed(ws_stream *s) {
    uint16_t code = s->parser.close_code;
    if (code == WS_TOO_BIG) return ws_stream_end(s, REASON_TOO_BIG, 0);
    return ws_stream_end(s, code == WS_INVALID_TEXT ? REASON_BAD_UTF8 : REASON_PROTOCOL_ERROR, 0);
}

/* Also for the caller's timer: true, and the stream ended, if a frame takes too long. */
static inline int ws_stream_is_overdue(ws_stream *s, int64_t now_mono_ns) {
    if (!s->frame_since_mono_ns || now_mono_ns - s->frame_since_mono_ns <= s->frame_deadline_ns) return 0;
    ws_fail(&s->parser, WS_POLICY, "frame slower than its deadline");
    ws_stream_end(s, REASON_SLOW_FRAME, 0);
    return 1;
}

/* ---- pings ------------------------------------------------------------------------------------- */

static inline int ws_may_answer(const ws_ping_limit *limit, int64_t now_mono_ns) {
    return now_mono_ns - limit->sent_mono_ns[limit->next] >= SECOND_NS;
}

static inline void ws_note_answer(ws_stream *s, int64_t now_mono_ns) {
    s->pings.sent_mono_ns[s->pings.next] = now_mono_ns;
    s->pings.next = (s->pings.next + 1) % PONGS_PER_SECOND;
    s->pings.waiting = 0;
    s->status->pongs_out++;
}

/* STREAM_EVENT: answer this one now; STREAM_IDLE: kept, or counted as suppressed by a later one. */
static inline int ws_on_ping(ws_stream *s, const ws_message *ping) {
    ws_ping_limit *limit = &s->pings;
    int64_t now = s->receive_mono_ns;
    s->status->pings_in++;
    if (now - limit->second_mono_ns >= SECOND_NS) {
        limit->second_mono_ns = now;
        limit->pings = 0;
    }
    if (++limit->pings > PINGS_PER_SECOND_MAX) {
        ws_fail(&s->parser, WS_POLICY, "more than 1,000 pings in a second");
        return ws_stream_end(s, REASON_PING_FLOOD, 0);
    }
    s->status->pongs_suppressed += limit->waiting;
    if (ws_may_answer(limit, now)) {
        ws_note_answer(s, now);
        return STREAM_EVENT;
    }
    limit->waiting = 1;
    limit->length = (uint8_t)ping->length;
    memcpy(limit->payload, ping->payload, ping->length);
    return STREAM_IDLE;
}

/* The ping that was kept, if it may be answered by now. */
static inline int ws_take_waiting_ping(ws_stream *s, int64_t now_mono_ns, ws_message *ping) {
    if (!s->pings.waiting || !ws_may_answer(&s->pings, now_mono_ns)) return 0;
    *ping = (ws_message){s->pings.payload, s->pings.length, WS_PING};
    ws_note_answer(s, now_mono_ns);
    return 1;
}

/* ---- messages ----------------------------------------------------------------------------------- */

static inline void ws_publish(ws_stream *s, const ws_message *message) {
    s->status->messages_in++;
    s->status->frames_out++;
    if (message->length <= HEARTBEAT_BYTES_MAX) s->status->heartbeats_in++;
    else s->status->last_data_mono_ns = s->receive_mono_ns;
    s->sink.publish(s->sink.context, message->payload, message->length, s->receive_ts_ns, s->receive_mono_ns);
    s->published++;
}

static inline void ws_flush(ws_stream *s) {
    if (s->published && s->sink.flush) s->sink.flush(s->sink.context);
    s->published = 0;
}

static inline void ws_note_partial_frame(ws_stream *s) {
    size_t partial = s->parser.end - s->parser.start;
    if (!partial) s->frame_since_mono_ns = 0;
    else if (partial <= s->last_read_bytes) s->frame_since_mono_ns = s->receive_mono_ns;
}

/* STREAM_EVENT, STREAM_ENDED, or STREAM_IDLE when every whole frame of the buffer is done. */
static inline int ws_stream_parse(ws_stream *s, ws_message *message) {
    int result;
    while ((result = ws_next(&s->parser, message)) == WS_GOT_MESSAGE) {
        int verdict = STREAM_EVENT;
        if (message->opcode == WS_BINARY && s->sink.publish) {
            ws_publish(s, message);
            continue;
        }
        if (message->opcode == WS_TEXT || message->opcode == WS_BINARY) s->status->messages_in++;
        if (message->opcode == WS_PING) verdict = ws_on_ping(s, message);
        if (verdict == STREAM_IDLE) continue;
        ws_flush(s);
        return verdict;
    }
    ws_flush(s);
    if (result == WS_FAILED) return s->reason ? STREAM_ENDED : ws_stream_failed(s);
    ws_note_partial_frame(s);
    return ws_stream_is_overdue(s, s->receive_mono_ns) ? STREAM_ENDED : STREAM_IDLE;
}

/* A read of the socket has just returned. */
static inline void ws_stream_stamp(ws_stream *s) {
    s->receive_ts_ns = ws_clock_ns(CLOCK_REALTIME);
    s->receive_mono_ns = ws_clock_ns(CLOCK_MONOTONIC);
    s->status->reads++;
}

/* `bytes` more lie at parser.end, out of the read that was stamped last. */
static inline void ws_stream_received(ws_stream *s, size_t bytes) {
    s->parser.end += bytes;
    s->last_read_bytes = bytes;
    s->status->bytes_in += bytes;
    s->status->last_byte_mono_ns = s->receive_mono_ns;
}

/* ---- the socket ----------------------------------------------------------------------------------- */

static inline void ws_stream_drain_wake(ws_stream *s) {
    uint8_t numbers[64];
    ssize_t got = read(s->wake_fd, numbers, sizeof numbers);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) s->wake_fd = -1; /* of no use */
}

/* Whether a signal has come, for who does not wait: a wait looks at the same. */
static inline int ws_stream_was_woken(ws_stream *s) {
    struct pollfd wanted = {s->wake_fd, POLLIN, 0};
    if (s->wake_fd < 0 || poll(&wanted, 1, 0) <= 0) return 0;
    ws_stream_drain_wake(s);
    return 1;
}

/* A signal that comes outside of ppoll, or to another thread, does not interrupt it: `wake_fd` does. */
static inline int ws_stream_poll(ws_stream *s, int fd, int want_write, int64_t wait_ns) {
    struct pollfd wanted[2] = {{fd, (short)(POLLIN | (want_write ? POLLOUT : 0)), 0},
                               {s->wake_fd, POLLIN, 0}};
    struct timespec timeout = {wait_ns / SECOND_NS, wait_ns % SECOND_NS};
    int ready = ppoll(wanted, s->wake_fd < 0 ? 1 : 2, &timeout, NULL);
    if (ready < 0) return STREAM_INTERRUPTED;
    if (ready == 0) return STREAM_IDLE;
    if (wanted[1].revents) {
        ws_stream_drain_wake(s);
        return STREAM_INTERRUPTED;
    }
    return wanted[0].revents & ~POLLOUT ? STREAM_BUSY : STREAM_WRITABLE;
}

/* Whether the caller has more to do than to go on. An incomplete frame's deadline is looked at with
 * every read: it takes a caller only where there is none. */
static inline int ws_stream_has_duty(const ws_stream *s) {
    if (s->pings.waiting) return 1; /* for its turn to be answered */
    return s->watch && __atomic_load_n(s->watch, __ATOMIC_ACQUIRE) != s->watch_seen;
}

static inline void ws_stream_beat(ws_stream *s, int64_t now_mono_ns) {
    __atomic_store_n(&s->status->head.heartbeat_mono_ns, now_mono_ns, __ATOMIC_RELAXED);
}

/* Sleep, in slices: a process with nothing to do is woken only for its heartbeat, not to run
 * the interpreter with cold caches. */
static inline int ws_stream_sleep(ws_stream *s, int fd, int want_write, int64_t wait_ns) {
    int64_t until_mono_ns = ws_clock_ns(CLOCK_MONOTONIC) + wait_ns;
    for (;;) {
        int64_t now_mono_ns;
        int result = ws_stream_poll(s, fd, want_write, wait_ns < WAIT_SLICE_NS ? wait_ns : WAIT_SLICE_NS);
        if (result != STREAM_IDLE) return result;
        now_mono_ns = ws_clock_ns(CLOCK_MONOTONIC);
        ws_stream_beat(s, now_mono_ns);
        wait_ns = until_mono_ns - now_mono_ns;
        if (wait_ns <= 0 || s->frame_since_mono_ns || ws_stream_has_duty(s)) return STREAM_IDLE;
    }
}

/* STREAM_BUSY once there is something to read. */
static inline int ws_stream_wait(ws_stream *s, int fd, int want_write, int64_t wait_ns) {
    int64_t began_mono_ns = s->spin_ns ? ws_clock_ns(CLOCK_MONOTONIC) : 0, spun_ns = 0;
    while (spun_ns < s->spin_ns && spun_ns < wait_ns) {
        int result = ws_stream_poll(s, fd, want_write, 0);
        if (result != STREAM_IDLE) return result;
        spun_ns = ws_clock_ns(CLOCK_MONOTONIC) - began_mono_ns;
    }
    return ws_stream_sleep(s, fd, want_write, wait_ns > spun_ns ? wait_ns - spun_ns : 0);
}

/* Whether the wait for the next byte may be the recv's: it saves the poll, which costs a process that
 * has slept for long a tenth of its frame. Not with anything else to wait for, or for less than the
 * socket blocks. */
static inline int ws_stream_may_block(const ws_stream *s, int want_write, int64_t until_mono_ns) {
    if (!s->blocks || want_write || s->spin_ns || s->frame_since_mono_ns) return 0;
    return until_mono_ns - ws_clock_ns(CLOCK_MONOTONIC) >= WAIT_SLICE_NS;
}

/* One recv; STREAM_BUSY if bytes came, STREAM_IDLE if it would block, or has for as long as it may. */
static inline int ws_stream_recv(ws_stream *s, int fd, int blocking) {
    size_t room = ws_make_room(&s->parser);
    size_t wanted = room < s->read_bytes_max ? room : s->read_bytes_max;
    ssize_t got = recv(fd, s->parser.buffer + s->parser.end, wanted, blocking ? 0 : MSG_DONTWAIT);
    if (got > 0) {
        ws_stream_stamp(s);
        ws_stream_received(s, (size_t)got);
        return STREAM_BUSY;
    }
    if (got == 0) return ws_stream_end(s, REASON_EOF, 0);
    if (errno == EINTR) return STREAM_INTERRUPTED;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return STREAM_IDLE;
    return ws_stream_end(s, REASON_RESET, errno);
}

/* Read until `turn_ns` have passed since the first read, or nothing came for `wait_ns`. In between,
 * after `reads_max` reads or `busy_ns`, comes a heartbeat, and the end if the caller has a duty (with
 * `turn_ns` 0: the end in any case). A short read means that the socket is empty: it is then waited for,
 * not read again. A wait that is not a poll's may miss a signal that came before it, so that one is
 * looked for when a slice has passed since the last look: it is heard after two at most. */
static inline int ws_stream_read(ws_stream *s, int fd, int reads_max, int64_t busy_ns, int64_t wait_ns,
                                 int64_t turn_ns, int want_write, ws_message *message) {
    int64_t called_mono_ns = ws_clock_ns(CLOCK_MONOTONIC);
    int64_t until_mono_ns = called_mono_ns + wait_ns, duty_mono_ns = 0, looked_mono_ns = called_mono_ns;
    int reads = 0, emptied = 0, blocking;
    if (turn_ns < busy_ns) turn_ns = busy_ns;
    if (s->reason) return STREAM_ENDED;
    for (;;) {
        int result = ws_stream_parse(s, message);
        if (result != STREAM_IDLE) return result;
        if (reads && s->receive_mono_ns >= until_mono_ns) return STREAM_BUSY;
        if (reads >= reads_max || (reads && s->receive_mono_ns >= duty_mono_ns)) {
            if (turn_ns == busy_ns || ws_stream_has_duty(s)) return STREAM_BUSY;
            if (s->receive_mono_ns - looked_mono_ns >= WAIT_SLICE_NS) {
                if (ws_stream_was_woken(s)) return STREAM_INTERRUPTED;
                looked_mono_ns = s->receive_mono_ns;
            }
            ws_stream_beat(s, s->receive_mono_ns);
            duty_mono_ns = s->receive_mono_ns + busy_ns;
            reads = 1;
        }
        blocking = emptied && ws_stream_may_block(s, want_write, until_mono_ns);
        result = emptied && !blocking ? STREAM_IDLE : ws_stream_recv(s, fd, blocking);
        if (result == STREAM_IDLE && blocking) {
            looked_mono_ns = ws_clock_ns(CLOCK_MONOTONIC);
            ws_stream_beat(s, looked_mono_ns);
            if (ws_stream_was_woken(s)) return STREAM_INTERRUPTED;
            if (ws_stream_has_duty(s)) return STREAM_BUSY;
            continue;
        }
        if (result == STREAM_IDLE) {
            looked_mono_ns = ws_clock_ns(CLOCK_MONOTONIC);
            int64_t left_ns = until_mono_ns - looked_mono_ns;
            emptied = 0;
            result = left_ns > 0 ? ws_stream_wait(s, fd, want_write, left_ns) : STREAM_IDLE;
            if (result == STREAM_IDLE && reads) return STREAM_BUSY;
            if (result != STREAM_BUSY) return result;
            continue;
        }
        if (result != STREAM_BUSY) return result;
        emptied = s->last_read_bytes < s->read_bytes_max;
        if (++reads > 1) continue;
        duty_mono_ns = s->receive_mono_ns + busy_ns;
        if (s->receive_mono_ns + turn_ns < until_mono_ns) until_mono_ns = s->receive_mono_ns + turn_ns;
    }
}

#endif
