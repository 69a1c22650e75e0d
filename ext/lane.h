/* A decoder's lane: one connection's frame ring -> its tick and event streams, exactly once.
 *
 * A unit is up to UNIT_RECORDS packets of one frame. It becomes real at one instant, when the
 * commit block is flipped, and everything else can be repeated or brought up from there:
 *
 *   1 oldest of the outputs         readers learn what they lose
 *   2 unpublished slots             beyond the tails, nobody looks there
 *   3 re-check the frame ring       was the frame overwritten while it was being read?
 *   4 flip the commit block         position, tails, counters, open gap: the only commit point
 *   5 latest table, confirmed table
 *   6 tails: events, ticks last
 *   7 bell
 *
 * A successor of a decoder that died anywhere in this opens the lane with lane_open: what was
 * committed but not yet published is brought into the latest table and published, what was not
 * committed is overwritten. Flags compare with private bases that are rebuilt from the latest
 * table, so that a unit that is done twice gives the same bytes.
 */
#ifndef PIPELINE_LANE_H
#define PIPELINE_LANE_H

#include <stdlib.h>
#include <time.h>

#include "bell.h"
#include "decode_kite.h"
#include "histogram.h"
#include "ring.h"
#include "stream.h"

#define LANE_GRACE_NS (2 * NS_PER_S) /* packets of an unsubscribed token are no surprise */
#define NO_SEQUENCE UINT64_MAX
#define LATENCY_SAMPLE_UNITS 8u

enum LaneStatus { LANE_IDLE = 0, LANE_WORKED = 1, LANE_PACED = 2, LANE_NO_MEMORY = 3 };

/* Catching up after an absence: no faster than readers can follow, unless the source waits. */
typedef struct {
    int64_t age_ns_max;      /* older frames count as a backlog */
    int64_t interval_ns;
    uint32_t interval_ticks;
    uint32_t gated;
} Pace;

typedef struct {
    /* shared memory */
    FrameRingReader source;
    Stream ticks;
    Stream events;
    LatestSlotC *latest;
    ConfirmedC *confirmed;
    const void *assignment;         /* a cell of TableHeadC and AssignmentC[] */
    uint64_t assignment_copy_bytes;
    uint32_t assignment_capacity;
    uint32_t slot_count;
    BellC *bell;                    /* of the instance: rung for readers */
    DecoderStatusC *status;
    uint16_t connection;

    /* private */
    CommitC block;                  /* as last flipped */
    CommitC next;                   /* the unit under construction */
    TokenMap tokens;
    uint64_t assignment_version;
    uint8_t *assignment_copy;
    TickBase *bases;                /* by slot, shared by the decoder's lanes */
    uint64_t *confirmed_keys;       /* by slot: what `confirmed` says already */
    uint64_t skip_sequence;         /* a frame to quarantine, or NO_SEQUENCE */
    int64_t pace_window_ns;
    uint32_t pace_ticks;
    uint32_t event_count;           /* of the unit under construction */
    DecodeUnit unit;
} Lane;

static inline int64_t monotonic_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* ---- tables ------------------------------------------------------------------------------- */

static inline uint64_t lane_confirmed_key(const TickC *tick)
{
    return (uint64_t)tick->connection_epoch << 8 | tick->mode;
}

static inline void lane_confirm(Lane *lane, const TickC *tick, uint32_t slot)
{
    uint64_t key = lane_confirmed_key(tick);
    ConfirmedC *row = &lane->confirmed[slot];
    if (lane->confirmed_keys[slot] == key && row->instrument_token == tick->instrument_token) return;
    row->first_packet_mono_ns = tick->receive_mono_ns;
    row->instrument_token = tick->instrument_token;
    row->mode = tick->mode;
    __atomic_store_n(&row->connection_epoch, tick->connection_epoch, __ATOMIC_RELEASE);
    lane->confirmed_keys[slot] = key;
}

static inline void lane_write_latest(Lane *lane, const TickC *tick, uint32_t slot)
{
    LatestSlotC *cell = &lane->latest[slot];
    uint8_t *copy = (uint8_t *)cell_begin(cell, sizeof(TickC));
    CRASH_POINT(latest_before_slot);
#ifdef PIPELINE_CHECKED
    shared_write(copy, tick, 160); /* in two parts, so that there is a middle to die in */
    CRASH_POINT(latest_inside_slot);
    shared_write(copy + 160, (const uint8_t *)tick + 160, sizeof(TickC) - 160);
#else
    shared_write(copy, tick, sizeof(TickC));
#endif
    cell_publish(cell);
    CRASH_POINT(latest_after_slot);
    lane_confirm(lane, tick, slot);
}

/* The records of the unit just committed, from `first` on. */
static inline void lane_write_all_latest(Lane *lane, uint64_t first, uint32_t count)
{
    const TickC *records = (const TickC *)(const void *)lane->ticks.records;
    uint64_t index = remainder_of(first, lane->ticks.capacity); /* one division, not one per tick */
    for (uint32_t i = 0; i < count; i++) {
        lane_write_latest(lane, &records[index], lane->unit.slots[i]);
        if (++index == lane->ticks.capacity) index = 0;
    }
}

/* The current copy of a slot; only its one writer may look at it without a check. */
static inline const TickC *lane_own_latest(const Lane *lane, uint32_t slot)
{
    const LatestSlotC *cell = &lane->latest[slot];
    return &cell->copy[cell->head.version & 1];
}

static inline int lane_refresh_tokens(Lane *lane, int64_t now_mono_ns)
{
    uint64_t version = cell_version(lane->assignment);
    TableHeadC *head = (TableHeadC *)(void *)lane->assignment_copy;
    uint32_t count;
    if (version == lane->assignment_version) return 0;
    version = cell_read(lane->assignment, lane->assignment_copy, lane->assignment_copy_bytes);
    count = head->count < lane->assignment_capacity ? head->count : lane->assignment_capacity;
    if (token_map_assign(&lane->tokens, (const AssignmentC *)(const void *)(head + 1), count,
                         lane->slot_count, now_mono_ns, LANE_GRACE_NS))
        return -1;
    lane->assignment_version = version;
    return 0;
}

/* Make the bases what they were after the last committed unit. */
static inline void lane_rebuild_bases(Lane *lane)
{
    for (uint32_t i = 0; i < lane->tokens.capacity; i++) {
        const TokenEntry *entry = &lane->tokens.entries[i];
        if (entry->state != TOKEN_ACTIVE) continue;
        const TickC *tick = lane_own_latest(lane, entry->slot);
        if (tick->sequence) tick_base_set(&lane->bases[entry->slot], tick);
        else memset(&lane->bases[entry->slot], 0, sizeof(TickBase));
    }
}

/* ---- opening, also after a death -------------------------------------------------------------- */

/* Bring what was committed and not published into the latest table, unless it is there already. */
static inline void lane_roll_forward(Lane *lane)
{
    uint64_t tail = load_acquire(&lane->ticks.control->tail);
    for (uint64_t sequence = tail; sequence < lane->block.tick_tail; sequence++) {
        const TickC *tick = (const TickC *)(const void *)stream_slot(&lane->ticks, sequence);
        const TokenEntry *entry = token_map_find(&lane->tokens, tick->instrument_token);
        if (!entry) continue; /* unassigned meanwhile: in the stream, no longer in the table */
        const TickC *held = lane_own_latest(lane, entry->slot);
        CRASH_POINT(forward_before_latest);
        if (held->sequence && held->connection == tick->connection && held->sequence >= tick->sequence) continue;
        lane_write_latest(lane, tick, entry->slot);
        lane->status->rolled_forward++;
        CRASH_POINT(forward_after_latest);
    }
    if (tail != lane->block.tick_tail || load_relaxed(&lane->events.control->tail) != lane->block.event_tail) {
        stream_publish(&lane->events, lane->block.event_tail);
        stream_publish(&lane->ticks, lane->block.tick_tail);
        CRASH_POINT(forward_after_tails);
    }
    bell_wake(lane->bell); /* also when all was published: the predecessor may have died before it rang */
}

/* Take the lane over at its commit block; the shared pointers are set by the caller.
 * Returns 0, or -1 without memory. */
static inline int lane_open(Lane *lane)
{
    memset(&lane->block, 0, sizeof lane->block);
    if (cell_version(lane->ticks.commit)) {
        cell_read(lane->ticks.commit, &lane->block, sizeof lane->block);
    } else {
        lane->block.tick_tail = load_relaxed(&lane->ticks.control->tail);
        lane->block.event_tail = load_relaxed(&lane->events.control->tail);
    }
    lane->skip_sequence = NO_SEQUENCE;
    lane->assignment_version = 0;
    if (token_map_init(&lane->tokens, lane->assignment_capacity)) return -1;
    if (lane_refresh_tokens(lane, monotonic_now_ns())) return -1;
    for (uint32_t slot = 0; slot < lane->slot_count; slot++) {
        const ConfirmedC *row = &lane->confirmed[slot];
        lane->confirmed_keys[slot] = (uint64_t)row->connection_epoch << 8 | row->mode;
    }
    lane_roll_forward(lane);
    lane_rebuild_bases(lane);
    return 0;
}

/* ---- the unit ------------------------------------------------------------------------------------ */

static inline EventC *lane_event(Lane *lane, uint8_t kind, uint8_t reason)
{
    EventC *event = (EventC *)(void *)stream_slot(&lane->events, lane->next.event_tail + lane->event_count++);
    memset(event, 0, sizeof *event);
    event->tick_sequence = lane->next.tick_tail;
    event->connection = lane->connection;
    event->connection_epoch = lane->next.connection_epoch;
    event->kind = kind;
    event->state = lane->next.state;
    event->reason = reason;
    return event;
}

static inline void lane_begin(Lane *lane)
{
    lane->next = lane->block;
    lane->event_count = 0;
    CRASH_POINT(unit_before_oldest);
    stream_retire(&lane->events, lane->block.event_tail);
    stream_retire(&lane->ticks, lane->block.tick_tail);
    CRASH_POINT(unit_after_oldest);
}

/* Publish what is in `next`: `tick_count` records and `event_count` events beyond the tails.
 * `source` is the frame that was read, or NO_SEQUENCE when nothing of the ring was used.
 * Returns 0 when the frame was overwritten meanwhile: then nothing has happened. */
static inline int lane_commit(Lane *lane, uint64_t source, uint32_t tick_count)
{
    uint64_t first = lane->block.tick_tail;
    CRASH_POINT(unit_after_slots);
    if (source != NO_SEQUENCE && !frame_ring_holds(&lane->source.ring, source)) return 0;
    CRASH_POINT(unit_after_recheck);
    lane->next.tick_tail += tick_count;
    lane->next.event_tail += lane->event_count;
    lane->next.counters.units++;
    CRASH_POINT(commit_before_flip);
    cell_write(lane->ticks.commit, &lane->next, sizeof lane->next);
    CRASH_POINT(commit_after_flip);
    lane->block = lane->next;
    lane_write_all_latest(lane, first, tick_count);
    CRASH_POINT(latest_after_all);
    CRASH_POINT(tails_before_events);
    if (lane->event_count) stream_publish(&lane->events, lane->block.event_tail);
    CRASH_POINT(tails_after_events);
    if (tick_count) stream_publish(&lane->ticks, lane->block.tick_tail);
    CRASH_POINT(tails_after_ticks);
    store_relaxed(&lane->status->commits, lane->status->commits + 1);
    if (tick_count || lane->event_count) bell_ring(lane->bell);
    CRASH_POINT(bell_after_ring);
    return 1;
}

/* Move the position behind a frame that is finished, and count it. */
static inline void lane_finish_frame(Lane *lane, const FrameDescriptorC *frame)
{
    lane->next.source_sequence++;
    lane->next.source_position = round_up(frame->position + frame->length, 8);
    lane->next.packet_index = 0;
    lane->next.packet_offset = 0;
    lane->next.counters.frames_in++;
    lane->next.counters.bytes_in += frame->length;
}

static inline int lane_state_interrupts(uint8_t state)
{
    return state != STATE_SUBSCRIBING && state != STATE_LIVE && state != STATE_QUIET && state != STATE_DRAINING;
}

static inline void lane_open_gap(Lane *lane, uint8_t reason)
{
    if (lane->next.gap_open || !lane->next.last_receive_ts_ns) return;
    lane->next.gap_open = 1;
    lane->next.gap_reason = reason;
    lane->next.gap_start_ts_ns = lane->next.last_receive_ts_ns;
    lane->next.gap_start_mono_ns = lane->next.last_receive_mono_ns;
}

static inline int lane_take_state(Lane *lane, const FrameDescriptorC *frame)
{
    EventC *event;
    lane_begin(lane);
    lane->next.state = frame->state;
    lane->next.reason = frame->reason;
    lane->next.connection_epoch = frame->connection_epoch;
    if (lane_state_interrupts(frame->state)) lane_open_gap(lane, frame->reason);
    if (frame->state == STATE_SUBSCRIBING && !lane->next.last_receive_ts_ns) {
        /* Connected: from here on something can be missed, even before the first message. */
        lane->next.last_receive_ts_ns = frame->receive_ts_ns;
        lane->next.last_receive_mono_ns = frame->receive_mono_ns;
    }
    event = lane_event(lane, EVENT_STATE, frame->reason);
    event->detail = (uint64_t)frame->detail;
    event->start_ts_ns = event->end_ts_ns = frame->receive_ts_ns;
    event->start_mono_ns = event->end_mono_ns = frame->receive_mono_ns;
    lane->next.counters.frames_state++;
    lane->next.counters.states_out++;
    lane_finish_frame(lane, frame);
    lane_commit(lane, lane->block.source_sequence, 0);
    return LANE_WORKED;
}

/* The first data message after an interruption ends the gap. */
static inline void lane_close_gap(Lane *lane, const FrameDescriptorC *frame)
{
    EventC *event;
    if (lane->next.connection_epoch && lane->next.connection_epoch != frame->connection_epoch)
        lane_open_gap(lane, REASON_DISCONTINUITY);
    lane->next.connection_epoch = frame->connection_epoch;
    if (!lane->next.gap_open) return;
    event = lane_event(lane, EVENT_GAP, lane->next.gap_reason);
    event->start_ts_ns = lane->next.gap_start_ts_ns;
    event->start_mono_ns = lane->next.gap_start_mono_ns;
    event->end_ts_ns = frame->receive_ts_ns;
    event->end_mono_ns = frame->receive_mono_ns;
    lane->next.gap_open = 0;
    lane->next.counters.gaps_out++;
}

static inline void lane_note_receive(Lane *lane, const FrameDescriptorC *frame)
{
    lane->next.last_receive_ts_ns = frame->receive_ts_ns;
    lane->next.last_receive_mono_ns = frame->receive_mono_ns;
}

static inline enum DecodeStatus lane_decode(Lane *lane, int64_t now_mono_ns)
{
    enum DecodeStatus status;
    decode_unit_begin(&lane->unit);
    status = decode_kite(&lane->unit);
    if (status != DECODE_UNKNOWN_TOKEN) return status;
    if (lane_refresh_tokens(lane, now_mono_ns)) return DECODE_UNKNOWN_TOKEN;
    lane->unit.assignment_current = 1;
    return decode_kite(&lane->unit);
}

static inline int lane_take_message(Lane *lane, const FrameDescriptorC *frame, const uint8_t *bytes, int64_t now_mono_ns)
{
    const uint64_t source = lane->block.source_sequence;
    FrameStamp stamp = {frame->receive_ts_ns, frame->receive_mono_ns, source, frame->connection_epoch, lane->connection};
    DecodeUnit *unit = &lane->unit;
    enum DecodeStatus status;
    if (lane_refresh_tokens(lane, now_mono_ns)) return LANE_NO_MEMORY;
    lane_begin(lane);
    decode_frame_begin(unit, bytes, frame->length, stamp, lane->block.packet_index, lane->block.packet_offset);
    unit->records = (TickC *)(void *)lane->ticks.records;
    unit->capacity = lane->ticks.capacity;
    unit->next_record = remainder_of(lane->block.tick_tail, lane->ticks.capacity);
    unit->next_sequence = lane->block.tick_tail;
    unit->tokens = &lane->tokens;
    unit->bases = lane->bases;
    unit->counters = &lane->next.counters;
    status = lane_decode(lane, now_mono_ns);
    if (status == DECODE_UNKNOWN_TOKEN) return LANE_NO_MEMORY;
    if (status != DECODE_HEARTBEAT) lane_close_gap(lane, frame);
    lane->next.packet_index = unit->packet_index;
    lane->next.packet_offset = unit->packet_offset;
    if (status != DECODE_MORE) {
        if (status == DECODE_HEARTBEAT) lane->next.counters.frames_heartbeat++;
        else lane->next.counters.frames_data++;
        lane_finish_frame(lane, frame);
        lane_note_receive(lane, frame);
    }
    if (!lane_commit(lane, source, unit->record_count)) {
        lane_rebuild_bases(lane); /* they have seen ticks that never were */
        return LANE_WORKED;
    }
    lane->pace_ticks += unit->record_count;
    if (lane->block.counters.units % LATENCY_SAMPLE_UNITS == 0 && status != DECODE_HEARTBEAT)
        histogram_record(&lane->status->receive_to_publish, (uint64_t)(monotonic_now_ns() - frame->receive_mono_ns));
    return LANE_WORKED;
}

/* The ring has gone on without us: say how much is lost, and go on a quarter into what is left. */
static inline int lane_take_overrun(Lane *lane)
{
    FrameDescriptorC frame;
    const uint8_t *bytes;
    uint64_t lost;
    EventC *event;
    lane->source.cursor = lane->block.source_sequence;
    do {
        lane->source.cursor = ring_resume_sequence(lane->source.ring.control, lane->source.ring.capacity, lane->source.cursor);
    } while (frame_ring_peek(&lane->source, &frame, &bytes) == RING_LAPPED);
    lost = lane->source.cursor - lane->block.source_sequence;
    lane_begin(lane);
    event = lane_event(lane, EVENT_OVERRUN, REASON_NONE);
    event->frames = lost < UINT32_MAX ? (uint32_t)lost : UINT32_MAX;
    event->start_ts_ns = lane->block.last_receive_ts_ns;
    event->start_mono_ns = lane->block.last_receive_mono_ns;
    if (lane->source.cursor < load_acquire(&lane->source.ring.control->tail)) {
        event->detail = frame.position - lane->block.source_position;
        event->end_ts_ns = frame.receive_ts_ns;
        event->end_mono_ns = frame.receive_mono_ns;
        lane->next.source_position = frame.position;
    }
    lane->next.source_sequence = lane->source.cursor;
    lane->next.packet_index = lane->next.packet_offset = 0;
    lane->next.counters.frames_in += lost;
    lane->next.counters.frames_overrun += lost;
    lane->next.counters.overruns_out++;
    lane_commit(lane, NO_SEQUENCE, 0);
    lane_rebuild_bases(lane);
    return LANE_WORKED;
}

/* The rest of a frame that has killed two decoders is announced and skipped. */
static inline int lane_take_quarantine(Lane *lane, const FrameDescriptorC *frame)
{
    EventC *event;
    lane_begin(lane);
    event = lane_event(lane, EVENT_QUARANTINE, REASON_PROCESS_EXITED);
    event->detail = lane->block.source_sequence;
    event->frames = 1;
    event->start_ts_ns = event->end_ts_ns = frame->receive_ts_ns;
    event->start_mono_ns = event->end_mono_ns = frame->receive_mono_ns;
    lane->next.counters.frames_quarantined++;
    lane->next.counters.quarantines_out++;
    lane_finish_frame(lane, frame);
    lane_note_receive(lane, frame);
    if (lane_commit(lane, lane->block.source_sequence, 0)) lane->skip_sequence = NO_SEQUENCE;
    return LANE_WORKED;
}

static inline int lane_must_pause(Lane *lane, const Pace *pace, const FrameDescriptorC *frame, int64_t now_mono_ns)
{
    if (pace->gated || now_mono_ns - frame->receive_mono_ns <= pace->age_ns_max) return 0;
    if (now_mono_ns - lane->pace_window_ns >= pace->interval_ns) {
        lane->pace_window_ns = now_mono_ns;
        lane->pace_ticks = 0;
    }
    return lane->pace_ticks + UNIT_RECORDS > pace->interval_ticks;
}

/* Say in the decoder's page what is being decoded, for the supervisor of a decoder that dies. */
static inline void lane_name_frame(Lane *lane)
{
    DecoderStatusC *status = lane->status;
    status->decoding_connection = lane->connection;
    status->decoding_packet_index = lane->block.packet_index;
    store_relaxed(&status->decoding_source_sequence, lane->block.source_sequence);
    __atomic_store_n(&status->decoding, 1, __ATOMIC_RELEASE);
}

/* Do one unit of this lane, if there is one. */
static inline int lane_step(Lane *lane, const Pace *pace, int64_t now_mono_ns)
{
    FrameDescriptorC frame;
    const uint8_t *bytes;
    int status;
    lane->source.cursor = lane->block.source_sequence;
    status = frame_ring_peek(&lane->source, &frame, &bytes);
    if (status == RING_EMPTY) return LANE_IDLE;
    if (status == RING_LAPPED) return lane_take_overrun(lane);
    if (frame.kind != FRAME_STATE && lane_must_pause(lane, pace, &frame, now_mono_ns)) return LANE_PACED;
    lane_name_frame(lane);
    if (lane->block.source_sequence == lane->skip_sequence) status = lane_take_quarantine(lane, &frame);
    else if (frame.kind == FRAME_STATE) status = lane_take_state(lane, &frame);
    else status = lane_take_message(lane, &frame, bytes, now_mono_ns);
    __atomic_store_n(&lane->status->decoding, 0, __ATOMIC_RELEASE);
    return status;
}

/* ---- the decoder's loop -------------------------------------------------------------------------- */

typedef struct {
    Lane **lanes;
    uint32_t lane_count;
    BellC *bell;                    /* this decoder's: rung by its feeds */
    DecoderStatusC *status;
    Pace pace;
    int64_t spin_ns;
} DecoderLoop;

#define LANE_ROUND_UNITS 16u        /* before the next lane has its turn */
#define DECODER_SLEEP_NS_MAX (100 * NS_PER_S / 1000)

/* One turn of all lanes: the number of units done, or -1 without memory. */
static inline int decoder_round(DecoderLoop *loop, int64_t now_mono_ns, int *paced)
{
    int units = 0;
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
    errno = 0;
    return !bell_sleep(loop->bell, seen, timeout_ns) && errno == EINTR;
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
 * wait. Keeps the heartbeat. Ends early once idle if `until_idle`. Returns the units done, or -1
 * without memory. */
static inline int64_t decoder_run(DecoderLoop *loop, int64_t duration_ns, int until_idle)
{
    int64_t now = monotonic_now_ns(), began = now, total = 0;
    for (;;) {
        int64_t left = began + (total ? duration_ns : duration_ns * DECODER_IDLE_SLICES) - now;
        int paced = 0, units;
        if (left <= 0) return total;
        store_relaxed((uint64_t *)&loop->status->head.heartbeat_mono_ns, (uint64_t)now);
        units = decoder_round(loop, now, &paced);
        if (units < 0) return -1;
        total += units;
        if (units == 0) {
            if (paced) decoder_pause(loop, left);
            else if (until_idle) return total;
            else if (decoder_wait(loop, left < DECODER_SLEEP_NS_MAX ? left : DECODER_SLEEP_NS_MAX)) return total;
        }
        now = monotonic_now_ns();
    }
}

#endif
