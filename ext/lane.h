/* A decoder's lane: one connection's frame ring -> its tick and event streams, exactly once.
 *
 * A unit is up to UNIT_RECORDS packets of one frame. It becomes real at one instant, when the
 * commit block is flipped, and everything else can be repeated or brought up from there:
 *
 *   1 oldest of the outputs         readers learn what they lose
 *   2 unpublished slots             beyond the tails, nobody looks there
 *   3 re-check the frame ring       was the frame overwritten while it was being read?
 *     confirmed table               of packets that become no record (handover.h)
 *   4 flip the commit block         position, tails, counters, open gap: the only commit point
 *   5 latest table, confirmed table
 *   6 tails: events, ticks last
 *   7 bell; in a backlog it may wait (ReaderRings)
 *
 * lane_frames.h does 2 for each kind of frame; lane_tokens.h knows the assignment; decoder_loop.h is the loop around it. A successor
 * of a decoder that died anywhere in this opens the lane by lane_open.h: what was committed but
 * not yet published is brought into the latest table and published, what was not committed is
 * overwritten. Flags compare with private bases that are rebuilt from the latest
 * table, so that a unit that is done twice gives the same bytes.
 */
#ifndef PIPELINE_LANE_H
#define PIPELINE_LANE_H

#include <stdlib.h>
#include <time.h>

#include "bell.h"
#include "decode_unit.h"
#include "ring.h"
#include "stream.h"

#define LANE_GRACE_NS (2 * NS_PER_S) /* packets of an unsubscribed token are no surprise */
#define NO_SEQUENCE UINT64_MAX
#define LANE_RING_NS 250000ll        /* between two rings of a decoder that has more to do */
#define LANE_RING_TICKS 16u          /* fewer since the last ring are no backlog */
#define CONFIRMED_SINCE (1ull << 63) /* in a confirmed key: the row has its time and its token */

typedef struct Lane Lane;

/* When the readers' bell is rung: at once, but in a backlog no sooner than LANE_RING_NS after the last
 * time, while there is more to decode. A reader that is woken for every unit of a backlog sleeps
 * between any two of them, and falling asleep and being woken costs both sides more than a unit. */
typedef struct {
    BellC *bell;                    /* of the instance */
    int64_t round_mono_ns;          /* when the decoder's present round began */
    int64_t next_mono_ns;           /* not before in a backlog, unless the decoder has nothing else to do */
    uint32_t ticks;                 /* published since the last ring */
    uint32_t owed;                  /* something is published that was not rung for */
} ReaderRings;

/* What the lanes of one decoder share in private memory; the arrays are by slot. */
typedef struct {
    Lane **lanes;
    uint32_t lane_count;
    uint32_t fresh_count;           /* slots that are BASE_FRESH */
    uint32_t slot_count;
    TickBase *bases;
    uint16_t *holders;              /* how many lanes have the slot assigned */
    Overlap *overlaps;              /* of those that more than one has */
    ReaderRings rings;
} LaneGroup;

struct Lane {
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
    DecoderStatusC *status;
    uint16_t connection;

    /* private */
    CommitC block;                  /* as last flipped */
    CommitC next;                   /* the unit under construction */
    TokenMap tokens;
    uint64_t assignment_version;
    uint8_t *assignment_copy;
    int64_t assignment_mono_ns;     /* when that version was written */
    int64_t *assigned_mono_ns;      /* by slot: since when it is assigned */
    int64_t *left_mono_ns;          /* by slot: AssignmentC's */
    uint32_t left_count;            /* of those, how many have no tick here yet; no fewer than there are */
    LaneGroup *group;
    uint64_t *confirmed_keys;       /* by slot: what `confirmed` says already, 0 = not of this assignment */
    uint64_t recalled;              /* while a group recalls: the next record of this stream */
    uint64_t skip_sequence;         /* a frame to quarantine, or NO_SEQUENCE */
    int64_t pace_window_ns;
    uint32_t pace_ticks;
    uint32_t event_count;           /* of the unit under construction */
    DecodeUnit unit;
};

/* ---- tables ------------------------------------------------------------------------------- */

static inline uint64_t lane_confirmed_key(const TickC *tick)
{
    return CONFIRMED_SINCE | (uint64_t)tick->connection_epoch << 8 | tick->mode;
}

/* Say that an instrument's packets arrive here, of which epoch and in which mode. The row's time is the
 * first one's of each time that the instrument was assigned: a packet that was received before says
 * nothing of it. Epoch and mode change without it, so that a unit that is confirmed and never
 * committed moves no beginning. */
static inline void lane_confirm(Lane *lane, const TickC *tick, uint32_t slot)
{
    uint64_t key = lane_confirmed_key(tick), known = lane->confirmed_keys[slot];
    ConfirmedC *row = &lane->confirmed[slot];
    if (row->instrument_token != tick->instrument_token) known = 0;
    if (known == key || tick->receive_mono_ns < lane->assigned_mono_ns[slot]) return;
    if (!known) {
        /* In this order: a row that says this epoch, mode and token already has its time. */
        row->first_packet_mono_ns = tick->receive_mono_ns;
        CRASH_POINT(confirm_after_time);
        __atomic_store_n(&row->instrument_token, tick->instrument_token, __ATOMIC_RELEASE);
        CRASH_POINT(confirm_after_token);
    }
    __atomic_store_n(&row->mode, tick->mode, __ATOMIC_RELEASE);
    CRASH_POINT(confirm_after_mode);
    __atomic_store_n(&row->connection_epoch, tick->connection_epoch, __ATOMIC_RELEASE);
    CRASH_POINT(confirm_after_epoch);
    lane->confirmed_keys[slot] = key;
}

/* Confirm what came and is not to be in the latest table. A successor would not find it in the
 * stream, so that it is done before the commit; it may be done again. */
static __attribute__((noinline, cold)) void lane_confirm_sightings(Lane *lane)
{
    const DecodeUnit *unit = &lane->unit;
    for (uint32_t i = 0; i < unit->sighting_count; i++) {
        TickC tick = {.receive_mono_ns = unit->stamp.receive_mono_ns, .instrument_token = unit->sightings[i].instrument_token,
                      .connection_epoch = unit->stamp.connection_epoch, .mode = (uint8_t)unit->sightings[i].mode};
        lane_confirm(lane, &tick, unit->sightings[i].slot);
    }
}

static inline void lane_write_slot(Lane *lane, const TickC *tick, uint32_t slot)
{
    LatestSlotC *cell = &lane->latest[slot];
    void *copy = cell_begin(cell, sizeof(TickC));
    CRASH_POINT(latest_before_slot);
    CRASH_WRITE(latest_inside_slot, copy, tick, sizeof(TickC));
    CRASH_POINT(latest_after_copy);
    cell_publish(cell);
    CRASH_POINT(latest_after_slot);
}

static inline void lane_write_latest(Lane *lane, const TickC *tick, uint32_t slot)
{
    lane_write_slot(lane, tick, slot);
    lane_confirm(lane, tick, slot);
}

/* Have ready what the tick of that slot will touch in the tables. They are megabytes, in the order of
 * the market: without this most of a tick's time goes into waiting for one line after the other. */
static inline void lane_foresee_slot(const Lane *lane, uint32_t slot)
{
    if (slot == SLOT_NONE) return;
    __builtin_prefetch(&lane->latest[slot].head, 1);
    __builtin_prefetch(&lane->confirmed_keys[slot], 0);
    __builtin_prefetch(&lane->confirmed[slot], 0);
}

static inline void lane_foresee_copy(const Lane *lane, uint32_t slot)
{
    if (slot == SLOT_NONE) return;
    const LatestSlotC *cell = &lane->latest[slot];
    const uint8_t *copy = (const uint8_t *)&cell->copy[(cell->head.version + 1) & 1];
    for (size_t line = 0; line < sizeof(TickC); line += CACHE_LINE) __builtin_prefetch(copy + line, 1);
}

#define LANE_FORESEE_SLOTS 8u
#define LANE_FORESEE_COPIES 2u

/* The records of the unit just committed, from `first` on. */
static inline void lane_write_all_latest(Lane *lane, uint64_t first, uint32_t count)
{
    const TickC *records = (const TickC *)(const void *)lane->ticks.records;
    const uint32_t *slots = lane->unit.slots;
    uint64_t index = remainder_of(first, lane->ticks.capacity); /* one division, not one per tick */
    for (uint32_t i = 0; i < count && i < LANE_FORESEE_SLOTS; i++) lane_foresee_slot(lane, slots[i]);
    for (uint32_t i = 0; i < count && i < LANE_FORESEE_COPIES; i++) lane_foresee_copy(lane, slots[i]);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t slot = slots[i];
        if (i + LANE_FORESEE_SLOTS < count) lane_foresee_slot(lane, slots[i + LANE_FORESEE_SLOTS]);
        if (i + LANE_FORESEE_COPIES < count) lane_foresee_copy(lane, slots[i + LANE_FORESEE_COPIES]);
        if (__builtin_expect(slot != SLOT_NONE, 1)) lane_write_latest(lane, &records[index], slot);
        if (++index == lane->ticks.capacity) index = 0;
    }
}

/* The current copy of a slot; only its one writer may look at it without a check. */
static inline const TickC *lane_own_latest(const Lane *lane, uint32_t slot)
{
    const LatestSlotC *cell = &lane->latest[slot];
    return &cell->copy[cell->head.version & 1];
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
    lane->unit.sighting_count = 0;
    CRASH_POINT(unit_before_oldest);
    stream_retire(&lane->events, lane->block.event_tail + 1); /* a gap's end before those of a unit of instruments */
    CRASH_POINT(unit_between_oldest);
    stream_retire(&lane->ticks, lane->block.tick_tail);
    CRASH_POINT(unit_after_oldest);
}

/* The only commit point: cell_write, with places to die in. */
static inline void lane_flip(Lane *lane)
{
    void *copy = cell_begin(lane->ticks.commit, sizeof lane->next);
    CRASH_WRITE(commit_inside_copy, copy, &lane->next, sizeof lane->next);
    CRASH_POINT(commit_after_copy);
    cell_publish(lane->ticks.commit);
}

/* Ring the readers' bell for all that is published. */
static inline void readers_ring(ReaderRings *rings)
{
    rings->owed = rings->ticks = 0;
    rings->next_mono_ns = rings->round_mono_ns + LANE_RING_NS;
    bell_ring(rings->bell);
}

/* The lane has published `ticks`, or something else: ring, or owe it. Many ticks since the last
 * ring, or another frame behind this one, are a backlog. */
static inline void readers_tell(const Lane *lane, uint32_t ticks)
{
    ReaderRings *rings = &lane->group->rings;
    rings->ticks += ticks;
    if (rings->round_mono_ns >= rings->next_mono_ns ||
        (rings->ticks < LANE_RING_TICKS && lane->block.source_sequence >= lane->source.tail_seen))
        readers_ring(rings);
    else
        rings->owed = 1;
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
    if (__builtin_expect(lane->unit.sighting_count != 0, 0)) lane_confirm_sightings(lane);
    lane->next.tick_tail += tick_count;
    lane->next.event_tail += lane->event_count;
    lane->next.counters.units++;
    CRASH_POINT(commit_before_flip);
    lane_flip(lane);
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
    if (tick_count || lane->event_count) readers_tell(lane, tick_count);
    CRASH_POINT(bell_after_ring);
    return 1;
}

#endif
