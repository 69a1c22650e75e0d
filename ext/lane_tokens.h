/* What a lane knows of its assignment, and the lanes of a decoder of each other's.
 *
 * An instrument that more than one lane has assigned is shared: its base is marked, so that each of
 * its packets goes by the rule of handover.h, until all but one have let go of it. What that rule
 * remembers is private memory and can be recalled from the tick streams at any time.
 */
#ifndef PIPELINE_LANE_TOKENS_H
#define PIPELINE_LANE_TOKENS_H

#include "lane.h"

#define OVERLAP_RECALL_RECORDS 8192u /* of each stream, when an instrument begins to be shared */

/* ---- shared instruments -------------------------------------------------------------------------- */

/* Count this lane among those that have its instruments' slots assigned, or no longer. */
static inline void lane_hold(Lane *lane, int by)
{
    for (uint32_t i = 0; i < lane->tokens.capacity; i++)
        if (lane->tokens.entries[i].state == TOKEN_ACTIVE)
            lane->group->holders[lane->tokens.entries[i].slot] += (uint16_t)by;
}

static inline void lane_begin_overlap(Lane *lane, uint32_t slot)
{
    TickBase *base = &lane->group->bases[slot];
    lane->group->fresh_count += !(base->mark & BASE_FRESH);
    base->mark |= BASE_SHARED | BASE_FRESH;
    memset(&lane->group->overlaps[slot], 0, sizeof(Overlap));
}

/* Mark the bases by the holders of their slots. */
static inline void lane_mark_shared(Lane *lane)
{
    for (uint32_t slot = 0; slot < lane->slot_count; slot++) {
        TickBase *base = &lane->group->bases[slot];
        int shared = lane->group->holders[slot] > 1;
        if (shared == ((base->mark & BASE_SHARED) != 0)) continue;
        if (shared) {
            lane_begin_overlap(lane, slot);
            continue;
        }
        lane->group->fresh_count -= (base->mark & BASE_FRESH) != 0;
        base->mark &= ~(uint32_t)(BASE_SHARED | BASE_FRESH);
    }
}

/* ---- recalling what was delivered ---------------------------------------------------------------- */

/* Take up a record of this lane's stream: where its connection begins, and the contents that a
 * packet may repeat which is not older than the newest tick, or than that beginning. */
static inline void lane_recall_record(const Lane *lane, const TickC *tick, uint32_t slot)
{
    Overlap *overlap = &lane->group->overlaps[slot];
    const ConfirmedC *row = &lane->confirmed[slot];
    const TickC *newest = lane_own_latest(lane, slot);
    const TickOrder order = tick_order(tick);
    const OverlapSince *since = overlap_since(overlap, tick->connection);
    if ((!since || since->connection_epoch != tick->connection_epoch) && lane->confirmed_keys[slot] &&
        row->instrument_token == tick->instrument_token && tick->receive_mono_ns >= row->first_packet_mono_ns) {
        overlap_begin_connection(overlap, tick->connection, tick->connection_epoch, order);
        since = overlap_since(overlap, tick->connection);
    }
    if (!order.carries) return;
    if (newest->instrument_token == tick->instrument_token && tick_is_before(tick, newest) &&
        !(since && !tick_order_before(&since->order, &order)))
        return;
    overlap_remember(overlap, tick);
}

static inline void lane_recall_stream(const Lane *lane)
{
    uint64_t tail = lane->block.tick_tail, sequence = load_relaxed(&lane->ticks.control->oldest);
    if (sequence == 0) sequence = 1; /* streams begin there */
    if (tail > sequence + OVERLAP_RECALL_RECORDS) sequence = tail - OVERLAP_RECALL_RECORDS;
    for (; sequence < tail; sequence++) {
        const TickC *tick = (const TickC *)(const void *)stream_slot(&lane->ticks, sequence);
        const TokenEntry *entry = token_map_find(&lane->tokens, tick->instrument_token);
        if (entry && lane->group->bases[entry->slot].mark & BASE_FRESH) lane_recall_record(lane, tick, entry->slot);
    }
}

/* The newest tick's connection was there before all others, if its stream does not say since when. */
static inline void lane_recall_newest(const Lane *lane, uint32_t slot)
{
    const TickC *newest = lane_own_latest(lane, slot);
    Overlap *overlap = &lane->group->overlaps[slot];
    if (!newest->sequence) return;
    if (tick_order(newest).carries) overlap_remember(overlap, newest);
    if (!overlap_since(overlap, newest->connection))
        overlap_begin_connection(overlap, newest->connection, newest->connection_epoch, (TickOrder){0, 0, 0, 0});
}

/* Fill the overlaps that are fresh, out of the streams of all lanes, of which this is one. */
static inline void lane_recall_overlaps(Lane *lane)
{
    LaneGroup *group = lane->group;
    if (!group->fresh_count) return;
    for (uint32_t i = 0; i < group->lane_count; i++)
        if (group->lanes[i] != lane) lane_recall_stream(group->lanes[i]);
    lane_recall_stream(lane);
    for (uint32_t slot = 0; slot < lane->slot_count; slot++) {
        if (!(group->bases[slot].mark & BASE_FRESH)) continue;
        lane_recall_newest(lane, slot);
        group->bases[slot].mark &= ~(uint32_t)BASE_FRESH;
    }
    group->fresh_count = 0;
}

/* ---- the assignment ------------------------------------------------------------------------------ */

/* What is assigned anew must be confirmed anew, also on the same connection. */
static inline void lane_forget_confirmed(Lane *lane, const AssignmentC *rows, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (rows[i].slot < lane->slot_count && !token_map_agrees(&lane->tokens, &rows[i]))
            lane->confirmed_keys[rows[i].slot] = 0;
}

static inline int lane_refresh_tokens(Lane *lane, int64_t now_mono_ns)
{
    uint64_t version = cell_version(lane->assignment);
    TableHeadC *head = (TableHeadC *)(void *)lane->assignment_copy;
    const AssignmentC *rows = (const AssignmentC *)(const void *)(head + 1);
    uint32_t count;
    int failed;
    if (version == lane->assignment_version) return 0;
    version = cell_read(lane->assignment, lane->assignment_copy, lane->assignment_copy_bytes);
    count = head->count < lane->assignment_capacity ? head->count : lane->assignment_capacity;
    lane_forget_confirmed(lane, rows, count);
    lane_hold(lane, -1);
    failed = token_map_assign(&lane->tokens, rows, count, lane->slot_count, now_mono_ns, LANE_GRACE_NS);
    lane_hold(lane, 1);
    lane_mark_shared(lane);
    if (failed) return -1;
    lane->assignment_version = version;
    lane->assigned_mono_ns = head->changed_mono_ns;
    return 0;
}

/* Before a message is decoded, and while there is none: know the assignment as it is now. */
static inline int lane_follow_assignment(Lane *lane, int64_t now_mono_ns)
{
    if (lane_refresh_tokens(lane, now_mono_ns)) return -1;
    lane_recall_overlaps(lane);
    return 0;
}

/* Take the rows that a predecessor has confirmed under the assignment as it is now. */
static inline void lane_recall_confirmed(Lane *lane)
{
    for (uint32_t slot = 0; slot < lane->slot_count; slot++) {
        const ConfirmedC *row = &lane->confirmed[slot];
        int current = row->first_packet_mono_ns >= lane->assigned_mono_ns;
        lane->confirmed_keys[slot] = current ? (uint64_t)row->connection_epoch << 8 | row->mode : 0;
    }
}

/* Make the bases, and what is remembered of shared instruments, what they were after the last
 * committed unit; also of slots that nobody has assigned at the moment. */
static inline void lane_rebuild_bases(Lane *lane)
{
    for (uint32_t slot = 0; slot < lane->slot_count; slot++) {
        const TickC *tick = lane_own_latest(lane, slot);
        TickBase *base = &lane->group->bases[slot];
        uint32_t shared = base->mark & (BASE_SHARED | BASE_FRESH);
        memset(base, 0, sizeof *base);
        if (tick->sequence) tick_base_set(base, tick, tick_base_mark(tick->connection) | tick->instrument_token);
        base->mark |= shared;
        if (shared) lane_begin_overlap(lane, slot);
    }
    lane_recall_overlaps(lane);
}

#endif
