/* One reader of many connections' tick and event streams.
 *
 *   per connection:  tick tail · first event not handed out · ticks up to it · due events
 *
 * The tick tail is loaded before the event tail: the decoder publishes an event before the ticks
 * that follow it, so every event that belongs below this tick tail is seen, and a batch is cut
 * exactly there. What precedes an event is in the same poll, what follows it in the next one: the
 * caller takes the ticks first, then the notices, and has each connection's order.
 *
 * Records are copied into the reader's own memory and checked in pieces that stay in the cache.
 * The cursors live in the reader's page and are stored when a poll hands its batch out; nobody
 * waits for them except a gated source.
 */
#ifndef PIPELINE_STREAM_READER_H
#define PIPELINE_STREAM_READER_H

#include <time.h>

#include "bell.h"
#include "histogram.h"
#include "ring.h"
#include "stream.h"

#define READER_PIECE 256u    /* records copied between two checks: 80 KiB */
#define READER_NOTICES 256u  /* most events and laps that one poll hands out */
#define READER_SLEEP_NS_MAX 100000000

enum ReaderPolicy { READER_RESUME = 0, READER_SKIP = 1, READER_RAISE = 2 };

enum NoticeKind {
    NOTICE_EVENT = 0,        /* `event` of the event stream */
    NOTICE_TICKS_LOST = 1,   /* `lost` ticks from `sequence` on were overwritten before we came */
    NOTICE_EVENTS_LOST = 2   /* `lost` events from `sequence` on */
};

enum ReaderWait { WAIT_OVER = 0, WAIT_NEWS = 1, WAIT_STOPPED = 2 };

typedef struct {
    EventC event;
    uint64_t sequence;
    uint64_t lost;
    uint32_t kind;           /* enum NoticeKind */
    uint32_t connection;
} ReaderNotice;

typedef struct {
    Stream ticks;
    Stream events;
    const FrameRingReader *orders; /* watched while waiting, 0 = not */
    CursorC *row;                  /* in the reader's page */
    uint64_t cursor;               /* next tick */
    uint64_t event_cursor;         /* next event */
    uint64_t last_source;          /* frame of the last tick of this poll */
    int64_t last_receive_ts_ns;    /* of the last tick handed out */
    int64_t last_receive_mono_ns;
    uint32_t connection;
    uint32_t has_pending;
    EventC pending;                /* the event under event_cursor, once looked at */
} ReaderStream;

typedef struct {
    ReaderStream *streams;
    uint32_t count;
    uint32_t first;                /* whose turn it is to be first */
    TickC *target;
    uint64_t room;                 /* records of target */
    int64_t *frame_mono_ns;        /* receive times of the frames in this poll, `room` of them */
    uint64_t frame_count;
    ReaderC *page;
    BellC *bell;
    int64_t spin_ns;
    Naps naps;
    uint32_t policy;
    uint32_t stop;
    uint32_t watch_orders;
    uint32_t notice_count;
    ReaderNotice notices[READER_NOTICES];
} StreamReader;

static inline ReaderNotice *reader_notice(StreamReader *reader, const ReaderStream *stream, uint32_t kind)
{
    ReaderNotice *notice = &reader->notices[reader->notice_count++];
    notice->kind = kind;
    notice->connection = stream->connection;
    notice->lost = 0;
    return notice;
}

static inline void reader_notice_lost(StreamReader *reader, ReaderStream *stream, uint32_t kind, uint64_t sequence,
                                      uint64_t lost)
{
    ReaderNotice *notice = reader_notice(reader, stream, kind);
    notice->sequence = sequence;
    notice->lost = lost;
}

/* ---- where to begin -------------------------------------------------------------------------- */

/* Begin behind what is published. The event tail is loaded first here, and then walked back over
 * events that precede ticks still to come: an event too many does no harm, one too few would. */
static inline void reader_begin_now(ReaderStream *stream)
{
    EventC event;
    stream->event_cursor = load_acquire(&stream->events.control->tail);
    stream->cursor = load_acquire(&stream->ticks.control->tail);
    while (stream->event_cursor > 0 && stream_copy(&stream->events, stream->event_cursor - 1, 1, &event)
           && event.tick_sequence > stream->cursor)
        stream->event_cursor--;
}

/* Begin at the oldest record; where the writer is about to come round, where a lapped reader would go on. */
static inline uint64_t reader_first_safe(const Stream *stream)
{
    uint64_t tail = load_acquire(&stream->control->tail), oldest;
    fence_acquire();
    oldest = load_relaxed(&stream->control->oldest);
    if (tail <= oldest || tail + 2 * UNIT_RECORDS <= oldest + stream->capacity) return oldest;
    return oldest + (tail - oldest) / 4;
}

static inline void reader_begin_oldest(ReaderStream *stream)
{
    stream->event_cursor = reader_first_safe(&stream->events);
    stream->cursor = reader_first_safe(&stream->ticks);
}

/* Begin where another reader stood. A cursor that the ring has passed is lapped at the first poll, and
 * so is told as lost; one that lies ahead of it was never true and becomes its end. */
static inline void reader_begin_at(ReaderStream *stream, uint64_t cursor, uint64_t event_cursor)
{
    uint64_t event_tail = load_acquire(&stream->events.control->tail);
    uint64_t tail = load_acquire(&stream->ticks.control->tail);
    stream->event_cursor = event_cursor < event_tail ? event_cursor : event_tail;
    stream->cursor = cursor < tail ? cursor : tail;
}

/* ---- taking over what is published ------------------------------------------------------------- */

/* Have the first event that was not handed out in `pending`; 0 when there is none. Lapped events
 * are added to `lost`. */
static inline int reader_peek_event(ReaderStream *stream, uint64_t *lost)
{
    if (stream->has_pending) return 1;
    while (load_acquire(&stream->events.control->tail) > stream->event_cursor) {
        uint64_t resume;
        if (stream_copy(&stream->events, stream->event_cursor, 1, &stream->pending)) {
            stream->has_pending = 1;
            return 1;
        }
        resume = ring_resume_sequence(stream->events.control, stream->events.capacity, stream->event_cursor);
        *lost += resume - stream->event_cursor;
        stream->event_cursor = resume;
    }
    return 0;
}

/* Hand out every event whose tick sequence the cursor has reached. */
static inline void reader_take_events(StreamReader *reader, ReaderStream *stream)
{
    while (reader->notice_count + 2 <= READER_NOTICES) {
        uint64_t lost = 0, before = stream->event_cursor;
        int found = reader_peek_event(stream, &lost);
        if (lost) reader_notice_lost(reader, stream, NOTICE_EVENTS_LOST, before, lost);
        if (!found || stream->pending.tick_sequence > stream->cursor) return;
        ReaderNotice *notice = reader_notice(reader, stream, NOTICE_EVENT);
        notice->event = stream->pending;
        notice->sequence = stream->event_cursor++;
        stream->has_pending = 0;
        store_relaxed(&stream->row->events, stream->row->events + 1);
    }
}

/* The ring has gone on without us: go to where the policy says, and say how many are lost. */
static inline void reader_lap(StreamReader *reader, ReaderStream *stream, uint64_t resume)
{
    uint64_t lost;
    if (resume <= stream->cursor) resume = ring_resume_sequence(stream->ticks.control, stream->ticks.capacity, stream->cursor);
    lost = resume - stream->cursor;
    reader_notice_lost(reader, stream, NOTICE_TICKS_LOST, stream->cursor, lost);
    stream->cursor = resume;
    store_relaxed(&stream->row->lost, stream->row->lost + lost);
    store_relaxed(&stream->row->laps, stream->row->laps + 1);
}

static inline uint64_t reader_resume(const StreamReader *reader, const ReaderStream *stream)
{
    if (reader->policy == READER_SKIP) return load_acquire(&stream->ticks.control->tail);
    return ring_resume_sequence(stream->ticks.control, stream->ticks.capacity, stream->cursor);
}

/* Note the receive time of each frame among `count` records, for the latency at hand-out. */
static inline void reader_note_frames(StreamReader *reader, ReaderStream *stream, const TickC *records, uint64_t count)
{
    uint64_t source = stream->last_source, frames = reader->frame_count;
    for (uint64_t i = 0; i < count; i++) {
        if (records[i].source_sequence == source) continue;
        source = records[i].source_sequence;
        reader->frame_mono_ns[frames++] = records[i].receive_mono_ns;
    }
    reader->frame_count = frames;
    stream->last_source = source;
    stream->last_receive_ts_ns = records[count - 1].receive_ts_ns;
    stream->last_receive_mono_ns = records[count - 1].receive_mono_ns;
}

/* Where this poll must stop: at the tail, or before the first event not handed out yet. */
static inline uint64_t reader_limit(StreamReader *reader, ReaderStream *stream)
{
    uint64_t lost = 0, before = stream->event_cursor;
    uint64_t limit = load_acquire(&stream->ticks.control->tail); /* ticks first, then events */
    int found = reader_peek_event(stream, &lost);
    if (lost) {
        reader_notice_lost(reader, stream, NOTICE_EVENTS_LOST, before, lost);
        return stream->cursor;
    }
    if (found && stream->pending.tick_sequence < limit) limit = stream->pending.tick_sequence;
    return limit > stream->cursor ? limit : stream->cursor;
}

static inline uint64_t reader_collect(StreamReader *reader, ReaderStream *stream, TickC *target, uint64_t room)
{
    uint64_t limit, copied = 0;
    if (reader->notice_count + 3 > READER_NOTICES) return 0; /* the next poll comes at once */
    limit = reader_limit(reader, stream);
    stream->last_source = UINT64_MAX;
    while (copied < room && stream->cursor < limit) {
        uint64_t count = limit - stream->cursor;
        if (count > room - copied) count = room - copied;
        if (count > READER_PIECE) count = READER_PIECE;
        if (!stream_copy(&stream->ticks, stream->cursor, count, target + copied)) {
            reader_lap(reader, stream, reader_resume(reader, stream));
            return copied; /* what follows the notice comes with the next poll */
        }
        reader_note_frames(reader, stream, target + copied, count);
        stream->cursor += count;
        copied += count;
    }
    reader_take_events(reader, stream);
    return copied;
}

/* ---- handing out ---------------------------------------------------------------------------------- */

static inline void reader_store_row(ReaderStream *stream, uint64_t delivered)
{
    CursorC *row = stream->row;
    if (!delivered && row->cursor == stream->cursor) return;
    if (delivered) store_relaxed(&row->source_sequence, stream->last_source + 1);
    store_relaxed(&row->delivered, row->delivered + delivered);
    store_release(&row->cursor, stream->cursor);
}

static inline void reader_beat(StreamReader *reader, int64_t now)
{
    __atomic_store_n(&reader->page->head.heartbeat_mono_ns, now, __ATOMIC_RELAXED);
}

static inline void reader_hand_out(StreamReader *reader, uint64_t count)
{
    int64_t now = monotonic_now_ns();
    for (uint64_t i = 0; i < reader->frame_count; i++) {
        int64_t latency = now - reader->frame_mono_ns[i];
        histogram_record(&reader->page->latency, latency > 0 ? (uint64_t)latency : 0);
    }
    if (count) store_relaxed(&reader->page->batches, reader->page->batches + 1);
    reader_beat(reader, now);
}

/* Copy what is new into the target, each connection with its share of the room. Returns how many
 * ticks; the notices that follow them are in `notices`. */
static inline uint64_t reader_poll(StreamReader *reader)
{
    uint64_t copied = 0;
    reader->notice_count = 0;
    reader->frame_count = 0;
    for (uint32_t i = 0; i < reader->count; i++) {
        ReaderStream *stream = &reader->streams[(reader->first + i) % reader->count];
        uint64_t room = (reader->room - copied) / (reader->count - i);
        uint64_t taken = reader_collect(reader, stream, reader->target + copied, room);
        reader_store_row(stream, taken);
        copied += taken;
    }
    if (reader->count) reader->first = (reader->first + 1) % reader->count;
    reader_hand_out(reader, copied);
    return copied;
}

/* Hand out published records of one connection in place: only the newer half, so that the writer
 * has half a stream to write before it comes back to them. Returns how many, from `*sequence`;
 * they end at the end of the ring, and before an event. */
static inline uint64_t reader_view(StreamReader *reader, ReaderStream *stream, uint64_t *sequence)
{
    uint64_t limit, half = stream->ticks.capacity / 2, tail, count;
    reader->notice_count = 0;
    reader->frame_count = 0;
    tail = load_acquire(&stream->ticks.control->tail);
    if (tail > stream->cursor && tail - stream->cursor > half)
        reader_lap(reader, stream, reader->policy == READER_SKIP ? tail : tail - half + half / 4);
    limit = reader->notice_count ? stream->cursor : reader_limit(reader, stream);
    count = stream->ticks.capacity - stream->cursor % stream->ticks.capacity;
    if (count > limit - stream->cursor) count = limit - stream->cursor;
    if (count > reader->room) count = reader->room;
    *sequence = stream->cursor;
    stream->last_source = UINT64_MAX;
    if (count) reader_note_frames(reader, stream, (const TickC *)(void *)stream_slot(&stream->ticks, *sequence), count);
    stream->cursor += count;
    if (!reader->notice_count) reader_take_events(reader, stream);
    reader_store_row(stream, count);
    reader_hand_out(reader, count);
    return count;
}

/* How many of `count` records from `sequence` on have been overwritten since they were handed out. */
static inline uint64_t reader_view_lost(StreamReader *reader, ReaderStream *stream, uint64_t sequence, uint64_t count)
{
    uint64_t oldest, lost;
    fence_acquire();
    oldest = load_relaxed(&stream->ticks.control->oldest);
    if (oldest <= sequence) return 0;
    lost = oldest - sequence < count ? oldest - sequence : count;
    store_relaxed(&stream->row->lost, stream->row->lost + lost);
    store_relaxed(&stream->row->laps, stream->row->laps + 1);
    return lost;
}

/* ---- waiting --------------------------------------------------------------------------------------- */

static inline int reader_stream_has_news(const StreamReader *reader, const ReaderStream *stream)
{
    if (load_acquire(&stream->ticks.control->tail) > stream->cursor) return 1;
    if (stream->has_pending) {
        if (stream->pending.tick_sequence <= stream->cursor) return 1; /* the notices were full */
    } else if (load_acquire(&stream->events.control->tail) > stream->event_cursor) {
        return 1;
    }
    return reader->watch_orders && stream->orders
           && load_acquire(&stream->orders->ring.control->tail) > stream->orders->cursor;
}

/* Look at one connection, or at all with `only` < 0. */
static inline int reader_look(const StreamReader *reader, int64_t only)
{
    if (__atomic_load_n(&reader->stop, __ATOMIC_ACQUIRE)) return WAIT_STOPPED;
    for (uint32_t i = 0; i < reader->count; i++)
        if ((only < 0 || only == (int64_t)reader->streams[i].connection)
            && reader_stream_has_news(reader, &reader->streams[i]))
            return WAIT_NEWS;
    return WAIT_OVER;
}

static inline int reader_spin(const StreamReader *reader, int64_t only, int64_t until)
{
    int found;
    do {
        if ((found = reader_look(reader, only))) return found;
        for (int i = 0; i < 16; i++) cpu_pause();
    } while (monotonic_now_ns() < until);
    return reader_look(reader, only);
}

/* Wait for news for at most `timeout_ns`, at most 100 ms and at most until a signal. */
static inline int reader_wait(StreamReader *reader, int64_t only, int64_t timeout_ns)
{
    int64_t now = monotonic_now_ns(), until, spin = reader->spin_ns;
    int found;
    if (timeout_ns > READER_SLEEP_NS_MAX) timeout_ns = READER_SLEEP_NS_MAX;
    until = now + timeout_ns;
    if ((found = reader_spin(reader, only, now + (spin < timeout_ns ? spin : timeout_ns)))) return found;
    for (;;) {
        uint32_t seen = bell_look(reader->bell);
        if ((found = reader_look(reader, only))) return found;
        bell_arm(reader->bell);
        if ((found = reader_look(reader, only))) return found;
        now = monotonic_now_ns();
        reader_beat(reader, now);
        if (now >= until) return WAIT_OVER;
        store_relaxed(&reader->page->bell_waits, reader->page->bell_waits + 1);
        if (!bell_doze(reader->bell, seen, until - now, &reader->naps)) return reader_look(reader, only);
    }
}

#endif
