/* One client's output: subscriptions, encoded frames waiting for the socket, the truth log.
 *
 * Frames are encoded into a linear buffer and handed to send() from it. Beside the bytes lie a
 * mark per data frame and a row per packet, and a frame's rows reach the truth log only when its
 * last byte was taken by the kernel. Used by one thread; nothing here is shared memory.
 */
#ifndef PIPELINE_SIM_OUTPUT_H
#define PIPELINE_SIM_OUTPUT_H

#include "sim_market.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SIM_MARKS 65536u         /* data frames that may wait, a power of two */
#define SIM_ROWS 131072u         /* packets that may wait, a power of two */
#define SIM_CONTROL_ROOM 65536u  /* bytes that data leave free for text, pongs and heartbeats */
#define SIM_SEND_BYTES 131072u   /* encoded before each send: small enough to stay in the cache */
#define SIM_PACKETS_PER_FRAME_MAX 65535u

enum { SIM_KIND_FRESH = 0, SIM_KIND_CACHED = 1, SIM_KIND_LYING = 2 };

typedef struct {
    int64_t send_ts_ns;
    int64_t send_mono_ns;
    uint64_t frame;
    uint32_t session;
    int32_t connection;
    uint32_t instrument_token;
    uint32_t sequence;
    uint16_t packet_index;
    uint8_t mode;
    uint8_t kind;
    uint32_t _pad;
} SimTruthRecordC;

_Static_assert(sizeof(SimTruthRecordC) == 48, "documented in pipeline/sim/truth.py");

typedef struct {
    SimTruthRecordC *records;
    size_t capacity;
    size_t count;
    uint64_t written;
    int fd;
    int error; /* errno of the first failed write; nothing is recorded after it */
} SimTruthC;

typedef struct {
    uint32_t instrument; /* position in the market */
    uint32_t sent_sequence; /* of the state last encoded here, 0 = none in this mode */
    uint8_t mode;
    uint8_t words;
    uint8_t _pad[2];
} SimSubscriptionC;

typedef struct {
    uint64_t end; /* absolute position of the frame's last byte + 1 */
    uint32_t rows;
    uint32_t _pad;
} SimMarkC;

typedef struct {
    uint32_t token;
    uint32_t sequence;
    uint16_t packet_index;
    uint8_t mode;
    uint8_t kind;
} SimRowC;

typedef struct {
    SimInstrumentC *instruments;
    SimTruthC *truth; /* or NULL */
    uint8_t *bytes;
    SimMarkC *marks;
    SimRowC *rows;
    SimSubscriptionC *subscriptions;
    int32_t *slots; /* market position -> subscription, -1 = none */
    size_t capacity;
    size_t start;
    size_t end;
    uint64_t handed;       /* absolute position of the byte at `start` */
    uint64_t mark_head;
    uint64_t mark_tail;
    uint64_t row_head;
    uint64_t row_tail;
    uint64_t frames_handed;
    uint64_t packets_handed;
    uint64_t packets_queued;
    uint32_t subscription_count;
    uint32_t subscription_capacity;
    uint32_t cursor;       /* where the round robin goes on */
    uint32_t session;
    int32_t connection;
    int wide;              /* this machine has the vector instructions */
    int error;             /* errno that ended the socket, 0 = none */
} SimOutputC;

static inline int64_t sim_clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

/* ---- truth ------------------------------------------------------------------------------- */

static inline void sim_truth_flush(SimTruthC *t) {
    const uint8_t *at = (const uint8_t *)t->records;
    size_t left = t->count * sizeof *t->records;
    while (left && !t->error) {
        ssize_t wrote = write(t->fd, at, left);
        if (wrote < 0) {
            if (errno != EINTR) t->error = errno;
            continue;
        }
        at += wrote;
        left -= (size_t)wrote;
    }
    t->written += t->count;
    t->count = 0;
}

static inline void sim_truth_frame(SimOutputC *o, const SimMarkC *mark, int64_t ts_ns, int64_t mono_ns) {
    SimTruthC *t = o->truth;
    for (uint32_t i = 0; i < mark->rows; i++) {
        const SimRowC *row = &o->rows[(o->row_head + i) & (SIM_ROWS - 1)];
        if (t->count == t->capacity) sim_truth_flush(t);
        t->records[t->count++] = (SimTruthRecordC){
            .send_ts_ns = ts_ns, .send_mono_ns = mono_ns, .frame = o->frames_handed, .session = o->session,
            .connection = o->connection, .instrument_token = row->token, .sequence = row->sequence,
            .packet_index = row->packet_index, .mode = row->mode, .kind = row->kind};
    }
}

/* ---- the buffer ---------------------------------------------------------------------------- */

static inline size_t sim_pending(const SimOutputC *o) { return o->end - o->start; }

/* Make room behind `end`; false when the client is too far behind for that. */
static inline int sim_room(SimOutputC *o, size_t bytes) {
    if (o->capacity - o->end >= bytes) return 1;
    if (o->capacity - sim_pending(o) < bytes) return 0;
    memmove(o->bytes, o->bytes + o->start, sim_pending(o));
    o->end -= o->start;
    o->start = 0;
    return 1;
}

static inline int sim_data_room(SimOutputC *o, size_t bytes, size_t rows) {
    return o->mark_tail - o->mark_head < SIM_MARKS && o->row_tail - o->row_head + rows <= SIM_ROWS &&
           sim_room(o, bytes + SIM_CONTROL_ROOM);
}

static inline int sim_append(SimOutputC *o, const uint8_t *bytes, size_t size) {
    if (!sim_room(o, size)) return 0;
    memcpy(o->bytes + o->end, bytes, size);
    o->end += size;
    return 1;
}

static inline void sim_row(SimOutputC *o, uint32_t token, uint32_t sequence, uint32_t index, int mode, int kind) {
    o->rows[o->row_tail++ & (SIM_ROWS - 1)] = (SimRowC){token, sequence, (uint16_t)index, (uint8_t)mode, (uint8_t)kind};
}

static inline void sim_mark(SimOutputC *o, uint32_t rows) {
    o->marks[o->mark_tail++ & (SIM_MARKS - 1)] = (SimMarkC){o->handed + sim_pending(o), rows, 0};
    o->packets_queued += rows;
}

/* `bytes` more were taken by the kernel, offered at these times. */
static inline void sim_hand(SimOutputC *o, size_t bytes, int64_t ts_ns, int64_t mono_ns) {
    o->start += bytes;
    o->handed += bytes;
    while (o->mark_head != o->mark_tail) {
        const SimMarkC *mark = &o->marks[o->mark_head & (SIM_MARKS - 1)];
        if (mark->end > o->handed) break;
        if (o->truth) sim_truth_frame(o, mark, ts_ns, mono_ns);
        o->row_head += mark->rows;
        o->packets_handed += mark->rows;
        o->frames_handed++;
        o->mark_head++;
    }
    if (o->start == o->end) { /* begin again at the front, where the cache is warm */
        o->start = o->end = 0;
        o->mark_head = o->mark_tail = o->row_head = o->row_tail = 0;
    }
}

/* Hand at most `limit` pending bytes to the kernel; returns how many it took. */
static inline size_t sim_send(SimOutputC *o, int fd, size_t limit) {
    size_t total = 0;
    while (total < limit && o->start != o->end && !o->error) {
        size_t size = sim_pending(o) < limit - total ? sim_pending(o) : limit - total;
        int64_t ts_ns = sim_clock_ns(CLOCK_REALTIME), mono_ns = sim_clock_ns(CLOCK_MONOTONIC);
        ssize_t sent = send(fd, o->bytes + o->start, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EINTR) continue;
            if (errno != EAGAIN && errno != EWOULDBLOCK) o->error = errno;
            break;
        }
        sim_hand(o, (size_t)sent, ts_ns, mono_ns);
        total += (size_t)sent;
        if ((size_t)sent < size) break;
    }
    return total;
}

#endif
