/* Open a lane, also after the death of its last decoder: bring up what was committed.
 *
 * What was committed and not published goes into the latest table and is published; what was not
 * committed will be overwritten. Nothing here runs while frames are decoded.
 */
#ifndef PIPELINE_LANE_OPEN_H
#define PIPELINE_LANE_OPEN_H

#include "lane.h"
#include "lane_tokens.h"

/* 1 if the latest table is to stay as it is: it holds this record or a later one of its connection,
 * or, from another connection, a tick that this one was BEHIND. Of several lanes only the one that
 * committed last can have records that are not in the table, so that whatever else the table holds
 * of another connection is what this one was delivered after. */
static inline int lane_latest_is_past(const Lane *lane, const TickC *tick, uint32_t slot)
{
    const TickC *held = lane_own_latest(lane, slot);
    if (!held->sequence || held->instrument_token != tick->instrument_token) return 0;
    if (held->connection == tick->connection) return held->sequence >= tick->sequence;
    return tick->flags & FLAG_HANDOVER && tick_is_before(tick, held);
}

/* Bring what was committed and not published into the latest table, unless it is there already,
 * and into the confirmed table: the predecessor may have died between the two. What is confirmed
 * twice ends the same, because the records of a unit share their time and epoch. */
static inline void lane_roll_forward(Lane *lane)
{
    uint64_t tail = load_acquire(&lane->ticks.control->tail);
    for (uint64_t sequence = tail; sequence < lane->block.tick_tail; sequence++) {
        const TickC *tick = (const TickC *)(const void *)stream_slot(&lane->ticks, sequence);
        const TokenEntry *entry = token_map_recall(&lane->tokens, tick->instrument_token);
        if (!entry) continue; /* unassigned before it was ever confirmed */
        int assigned = entry->state == TOKEN_ACTIVE;
        /* Unassigned meanwhile: its slot may be another instrument's by now. */
        if (!assigned && lane_own_latest(lane, entry->slot)->instrument_token != tick->instrument_token) continue;
        CRASH_POINT(forward_before_latest);
        if (!lane_latest_is_past(lane, tick, entry->slot)) {
            lane_write_slot(lane, tick, entry->slot);
            lane->status->rolled_forward++;
            CRASH_POINT(forward_after_latest);
        }
        if (assigned) lane_confirm(lane, tick, entry->slot);
    }
    if (tail != lane->block.tick_tail || load_relaxed(&lane->events.control->tail) != lane->block.event_tail) {
        CRASH_POINT(forward_before_tails);
        stream_publish(&lane->events, lane->block.event_tail);
        CRASH_POINT(forward_after_events);
        stream_publish(&lane->ticks, lane->block.tick_tail);
        CRASH_POINT(forward_after_tails);
    }
    bell_wake(lane->group->rings.bell); /* also when all was published: the predecessor may have died before it rang */
    CRASH_POINT(forward_after_ring);
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
    if (lane_recall_retired(lane, monotonic_now_ns())) return -1;
    if (lane_refresh_tokens(lane, monotonic_now_ns())) return -1;
    lane_recall_confirmed(lane);
    lane_roll_forward(lane);
    lane_rebuild_bases(lane);
    return 0;
}

/* Let go of what the lane holds in its group, before its segments are unmapped and it is freed. */
static inline void lane_close(Lane *lane)
{
    lane_hold(lane, -1);
    lane_mark_shared(lane, lane->block.last_receive_mono_ns);
    token_map_free(&lane->tokens);
}

#endif
