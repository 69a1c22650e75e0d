/* What becomes of each entry of the frame ring: ticks, a state change, a gap's end, an overrun.
 *
 * One step of a lane is one unit: it looks at the ring, fills `next` and the slots beyond the
 * tails, and leaves the rest to lane_commit.
 */
#ifndef PIPELINE_LANE_FRAMES_H
#define PIPELINE_LANE_FRAMES_H

#include "decode_kite.h"
#include "histogram.h"
#include "lane.h"
#include "lane_tokens.h"

#define LATENCY_SAMPLE_UNITS 8u
#define BAD_FRAME_EVERY_NS (60 * NS_PER_S)

enum LaneStatus { LANE_IDLE = 0, LANE_WORKED = 1, LANE_PACED = 2, LANE_NO_MEMORY = 3 };

/* Catching up after an absence: no faster than readers can follow, unless the source waits. */
typedef struct {
    int64_t age_ns_max;      /* older frames count as a backlog */
    int64_t interval_ns;
    uint32_t interval_ticks;
    uint32_t gated;
    uint32_t raw_only;       /* messages are for readers of raw frames alone */
} Pace;

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

/* Whether another lane has an instrument, too, and has delivered it since this one has it. */
static inline int lane_has_it_elsewhere(const Lane *lane, uint32_t slot)
{
    return lane->group->holders[slot] > 1 &&
           lane_own_latest(lane, slot)->receive_mono_ns >= lane->assigned_mono_ns[slot];
}

/* Whether the unit's record `i` is an instrument's first tick since it came from elsewhere. */
static inline int lane_ends_absence(const Lane *lane, uint32_t i)
{
    const uint32_t slot = lane->unit.slots[i];
    if (slot == SLOT_NONE || !lane->left_mono_ns[slot] || lane->confirmed_keys[slot]) return 0;
    if (lane->unit.stamp.receive_mono_ns < lane->assigned_mono_ns[slot]) return 0;
    if (lane_has_it_elsewhere(lane, slot)) return 0;
    for (uint32_t earlier = 0; earlier < i; earlier++)
        if (lane->unit.slots[earlier] == slot) return 0;
    return 1;
}

/* What another decoder had before, or a connection that was closed first, ticked nowhere meanwhile:
 * a gap of that instrument alone. Returns how many. What is confirmed is behind it, so that the
 * successor of a decoder that dies after the commit tells none twice. */
static __attribute__((noinline, cold)) uint32_t lane_end_absences(Lane *lane, const FrameDescriptorC *frame)
{
    const TickC *records = (const TickC *)(const void *)lane->ticks.records;
    uint32_t ended = 0;
    for (uint32_t i = 0; i < lane->unit.record_count; i++) {
        if (!lane_ends_absence(lane, i)) continue;
        const int64_t start_ns = lane->left_mono_ns[lane->unit.slots[i]];
        EventC *event = lane_event(lane, EVENT_GAP, REASON_MOVED);
        event->detail = records[remainder_of(lane->block.tick_tail + i, lane->ticks.capacity)].instrument_token;
        event->start_ts_ns = frame->receive_ts_ns - (frame->receive_mono_ns - start_ns);
        event->start_mono_ns = start_ns;
        event->end_ts_ns = frame->receive_ts_ns;
        event->end_mono_ns = frame->receive_mono_ns;
        lane->next.counters.instrument_gaps_out++;
        ended++;
    }
    return ended;
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
    if (lane_follow_assignment(lane, now_mono_ns)) return DECODE_UNKNOWN_TOKEN;
    lane->unit.assignment_current = 1;
    return decode_kite(&lane->unit);
}

/* Keep how a frame begins that is not what it says, in the decoder's page; one a minute. */
static __attribute__((noinline, cold)) void lane_keep_bad_frame(const Lane *lane, const FrameDescriptorC *frame,
                                                                const uint8_t *bytes, uint64_t source, int trailing)
{
    BadFrameC *kept = &lane->status->bad_frame, found = {0};
    if (kept->receive_ts_ns && frame->receive_mono_ns - kept->receive_mono_ns < BAD_FRAME_EVERY_NS) return;
    found.source_sequence = source;
    found.receive_ts_ns = frame->receive_ts_ns;
    found.receive_mono_ns = frame->receive_mono_ns;
    found.length = frame->length;
    found.connection = lane->connection;
    found.trailing = (uint8_t)trailing;
    shared_read(found.bytes, bytes, frame->length < BAD_FRAME_BYTES ? frame->length : BAD_FRAME_BYTES);
    if (frame_ring_holds(&lane->source.ring, source)) *kept = found;
}

#define LANE_FORESEE_FRAME_BYTES 1024u /* a smaller one's bytes the processor fetches ahead by itself */

/* Have the beginning of the next frame ready, whose bytes follow this one's, if it is there already; or
 * that of one further on, if the frames are short. */
static inline void lane_foresee_frame(const Lane *lane, const FrameDescriptorC *frame, const uint8_t *bytes, uint64_t source)
{
    const uint64_t step = round_up(frame->length, 8);
    const uint64_t from = step > KITE_FORESEE_BYTES ? step : KITE_FORESEE_BYTES;
    const uint64_t some = step < KITE_FORESEE_BYTES ? step : KITE_FORESEE_BYTES;
    if (step < LANE_FORESEE_FRAME_BYTES || (lane->source.tail_seen - source) * step < from + some) return;
    for (uint64_t line = 0; line < some; line += CACHE_LINE) __builtin_prefetch(bytes + from + line);
}

static inline int lane_take_message(Lane *lane, const FrameDescriptorC *frame, const uint8_t *bytes, int64_t now_mono_ns)
{
    const uint64_t source = lane->block.source_sequence;
    FrameStamp stamp = {frame->receive_ts_ns, frame->receive_mono_ns, source, frame->connection_epoch, lane->connection};
    DecodeUnit *unit = &lane->unit;
    enum DecodeStatus status;
    uint32_t absences = 0;
    if (lane_follow_assignment(lane, now_mono_ns)) return LANE_NO_MEMORY;
    lane_begin(lane);
    decode_frame_begin(unit, bytes, frame->length, stamp, lane->block.packet_index, lane->block.packet_offset);
    unit->records = (TickC *)(void *)lane->ticks.records;
    unit->capacity = lane->ticks.capacity;
    unit->next_record = remainder_of(lane->block.tick_tail, lane->ticks.capacity);
    unit->next_sequence = lane->block.tick_tail;
    unit->tokens = &lane->tokens;
    unit->bases = lane->group->bases;
    unit->overlaps = lane->group->overlaps;
    unit->latest = lane->latest;
    unit->counters = &lane->next.counters;
    status = lane_decode(lane, now_mono_ns);
    if (status == DECODE_UNKNOWN_TOKEN) return LANE_NO_MEMORY;
    if (status != DECODE_HEARTBEAT) lane_close_gap(lane, frame);
    if (__builtin_expect(lane->left_count != 0, 0)) absences = lane_end_absences(lane, frame);
    lane->next.packet_index = unit->packet_index;
    lane->next.packet_offset = unit->packet_offset;
    if (status != DECODE_MORE) {
        if (status == DECODE_HEARTBEAT) lane->next.counters.frames_heartbeat++;
        else lane->next.counters.frames_data++;
        lane_finish_frame(lane, frame);
    }
    lane_note_receive(lane, frame); /* also of a part: no gap begins before a tick that is out */
    lane_foresee_frame(lane, frame, bytes, source);
    if (!lane_commit(lane, source, unit->record_count)) {
        lane_rebuild_bases(lane); /* they have seen ticks that never were */
        return LANE_WORKED;
    }
    lane->left_count -= absences;
    if (__builtin_expect(status == DECODE_SHORT || status == DECODE_TRAILING, 0))
        lane_keep_bad_frame(lane, frame, bytes, source, status == DECODE_TRAILING);
    lane->pace_ticks += unit->record_count;
    if (lane->block.counters.units % LATENCY_SAMPLE_UNITS == 0 && status != DECODE_HEARTBEAT)
        histogram_record(&lane->status->receive_to_publish, (uint64_t)(monotonic_now_ns() - frame->receive_mono_ns));
    return LANE_WORKED;
}

/* A message that becomes no ticks, as nobody wants any: it is counted, and ends a gap. */
static inline int lane_take_raw(Lane *lane, const FrameDescriptorC *frame)
{
    const int heartbeat = frame->length < sizeof(uint16_t);
    lane_begin(lane);
    if (!heartbeat) lane_close_gap(lane, frame);
    if (heartbeat) lane->next.counters.frames_heartbeat++;
    else lane->next.counters.frames_data++;
    lane_finish_frame(lane, frame);
    lane_note_receive(lane, frame);
    if (lane_commit(lane, lane->block.source_sequence, 0)) readers_tell(lane, 0); /* of raw frames, too */
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
    if (status == RING_EMPTY) /* no packet will say that the instruments which it shares are its no longer */
        return lane_follow_assignment(lane, now_mono_ns) ? LANE_NO_MEMORY : LANE_IDLE;
    if (status == RING_LAPPED) return lane_take_overrun(lane);
    if (frame.kind != FRAME_STATE && lane_must_pause(lane, pace, &frame, now_mono_ns)) return LANE_PACED;
    lane_name_frame(lane);
    if (lane->block.source_sequence == lane->skip_sequence) status = lane_take_quarantine(lane, &frame);
    else if (frame.kind == FRAME_STATE) status = lane_take_state(lane, &frame);
    else if (__builtin_expect(pace->raw_only != 0, 0)) status = lane_take_raw(lane, &frame);
    else status = lane_take_message(lane, &frame, bytes, now_mono_ns);
    __atomic_store_n(&lane->status->decoding, 0, __ATOMIC_RELEASE);
    return status;
}

#endif
