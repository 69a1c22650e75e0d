/* What a lane knows of its assignment, and the lanes of a decoder of each other's.
 *
 * An instrument that more than one lane has assigned is shared: its base is marked, so that each of
 * its packets goes by the rule of handover.h, until all but one have let go of it, and then for a
 * while. What that rule remembers is private memory and can be recalled from the tick streams at any
 * time; who has let go of what is not in the assignments any more, but in the confirmed tables.
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

/* All but one have let go of an instrument by then: that one may be behind. */
static inline void lane_linger(Lane *lane, uint32_t slot, int64_t let_go_mono_ns)
{
    int64_t until = let_go_mono_ns + OVERLAP_LINGER_NS;
    Overlap *overlap = &lane->group->overlaps[slot];
    if (until > overlap->lingers_until_mono_ns) overlap->lingers_until_mono_ns = until;
}

/* Mark the bases by the holders of their slots, of which one may have let go at that time. */
static inline void lane_mark_shared(Lane *lane, int64_t let_go_mono_ns)
{
    for (uint32_t slot = 0; slot < lane->slot_count; slot++) {
        TickBase *base = &lane->group->bases[slot];
        uint32_t holders = lane->group->holders[slot];
        if (holders > 1 && !(base->mark & BASE_SHARED)) lane_begin_overlap(lane, slot);
        if (!(base->mark & BASE_SHARED)) continue;
        Overlap *overlap = &lane->group->overlaps[slot];
        if (holders > 1) overlap->lingers_until_mono_ns = 0;
        if (holders == 1 && !overlap->lingers_until_mono_ns) lane_linger(lane, slot, let_go_mono_ns);
        if (holders) continue;
        lane->group->fresh_count -= (base->mark & BASE_FRESH) != 0;
        base->mark &= ~(uint32_t)(BASE_SHARED | BASE_FRESH);
    }
}

/* ---- recalling what was delivered ---------------------------------------------------------------- */

/* Take up a record of this lane's stream: where its connection begins, and the contents that a
 * packet may repeat which is not older than the newest tick, or than that beginning. */
static inline void lane_recall_record(const Lane *lane, const TickC *tick, const TokenEntry *entry)
{
    const uint32_t slot = entry->slot;
    Overlap *overlap = &lane->group->overlaps[slot];
    const ConfirmedC *row = &lane->confirmed[slot];
    const TickC *newest = lane_own_latest(lane, slot);
    const TickOrder order = tick_order(tick);
    const OverlapSince *since = overlap_since(overlap, tick->connection);
    const int confirmed = entry->state == TOKEN_RETIRED || lane->confirmed_keys[slot];
    if ((!since || since->connection_epoch != tick->connection_epoch) && confirmed &&
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

/* The entry of what an overlap is to be filled with, or NULL. */
static inline const TokenEntry *lane_recall_entry(const Lane *lane, uint32_t instrument_token, int with_retired)
{
    const TokenEntry *entry = token_map_recall(&lane->tokens, instrument_token);
    if (!entry || !(lane->group->bases[entry->slot].mark & BASE_FRESH)) return NULL;
    if (entry->state == TOKEN_ACTIVE) return entry;
    return with_retired && lane_own_latest(lane, entry->slot)->instrument_token == instrument_token ? entry : NULL;
}

static inline const TickC *lane_recalled(const Lane *lane)
{
    return (const TickC *)(const void *)stream_slot(&lane->ticks, lane->recalled);
}

/* Go on to this lane's next record that an overlap is to be filled with; at the tail there is none. */
static inline void lane_recall_next(Lane *lane, int with_retired)
{
    while (lane->recalled < lane->block.tick_tail &&
           !lane_recall_entry(lane, lane_recalled(lane)->instrument_token, with_retired))
        lane->recalled++;
}

static inline void lane_recall_begin(Lane *lane, int with_retired)
{
    uint64_t tail = lane->block.tick_tail, oldest = load_relaxed(&lane->ticks.control->oldest);
    if (oldest == 0) oldest = 1; /* streams begin there */
    lane->recalled = tail > oldest + OVERLAP_RECALL_RECORDS ? tail - OVERLAP_RECALL_RECORDS : oldest;
    lane_recall_next(lane, with_retired);
}

/* The lane whose next record was received first, or NULL when none has one. */
static inline Lane *lane_recall_first(const LaneGroup *group)
{
    Lane *first = NULL;
    for (uint32_t i = 0; i < group->lane_count; i++) {
        Lane *lane = group->lanes[i];
        if (lane->recalled >= lane->block.tick_tail) continue;
        if (!first || lane_recalled(lane)->receive_mono_ns < lane_recalled(first)->receive_mono_ns) first = lane;
    }
    return first;
}

/* 1 if a tick is of an earlier time than the one in which its connection has the instrument now. */
static inline int lane_is_of_earlier(const LaneGroup *group, const TickC *tick, uint32_t slot)
{
    for (uint32_t i = 0; i < group->lane_count; i++) {
        const Lane *lane = group->lanes[i];
        if (lane->connection == tick->connection && token_map_find(&lane->tokens, tick->instrument_token))
            return tick->receive_mono_ns < lane->assigned_mono_ns[slot];
    }
    return 0;
}

/* The newest tick's connection was there before all others, if its stream does not say since when. */
static inline void lane_recall_newest(const Lane *lane, uint32_t slot)
{
    const TickC *newest = lane_own_latest(lane, slot);
    Overlap *overlap = &lane->group->overlaps[slot];
    if (!newest->sequence) return;
    if (tick_order(newest).carries) overlap_remember(overlap, newest);
    if (!overlap_since(overlap, newest->connection) && !lane_is_of_earlier(lane->group, newest, slot))
        overlap_begin_connection(overlap, newest->connection, newest->connection_epoch, (TickOrder){0, 0, 0, 0});
}

/* Fill the overlaps that are fresh out of the streams of all lanes, in the order of reception, because
 * no more than the last contents are remembered; with_retired: also of those that have let go. */
static inline void lane_recall_overlaps(Lane *lane, int with_retired)
{
    LaneGroup *group = lane->group;
    if (!group->fresh_count) return;
    for (uint32_t i = 0; i < group->lane_count; i++) lane_recall_begin(group->lanes[i], with_retired);
    for (Lane *each; (each = lane_recall_first(group));) {
        const TickC *tick = lane_recalled(each);
        lane_recall_record(each, tick, token_map_recall(&each->tokens, tick->instrument_token));
        each->recalled++;
        lane_recall_next(each, with_retired);
    }
    for (uint32_t slot = 0; slot < lane->slot_count; slot++) {
        if (!(group->bases[slot].mark & BASE_FRESH)) continue;
        lane_recall_newest(lane, slot);
        group->bases[slot].mark &= ~(uint32_t)BASE_FRESH;
    }
    group->fresh_count = 0;
}

/* ---- the assignment ------------------------------------------------------------------------------ */

/* What is assigned anew must be confirmed anew, also on the same connection, which begins anew. */
static inline void lane_forget_confirmed(Lane *lane, const AssignmentC *rows, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (rows[i].slot >= lane->slot_count || token_map_agrees(&lane->tokens, &rows[i])) continue;
        lane->confirmed_keys[rows[i].slot] = 0;
        if (lane->group->bases[rows[i].slot].mark & BASE_SHARED)
            overlap_forget_connection(&lane->group->overlaps[rows[i].slot], lane->connection);
    }
}

static inline void lane_note_assigned(Lane *lane, const AssignmentC *rows, uint32_t count)
{
    lane->left_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (rows[i].slot >= lane->slot_count) continue;
        lane->assigned_mono_ns[rows[i].slot] = rows[i].assigned_mono_ns;
        lane->left_mono_ns[rows[i].slot] = rows[i].left_mono_ns;
        lane->left_count += rows[i].left_mono_ns && !lane->confirmed_keys[rows[i].slot];
    }
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
    lane_mark_shared(lane, head->changed_mono_ns);
    if (failed) return -1;
    lane_note_assigned(lane, rows, count);
    lane->assignment_version = version;
    lane->assignment_mono_ns = head->changed_mono_ns;
    return 0;
}

/* Before a message is decoded, and while there is none: know the assignment as it is now. */
static inline int lane_follow_assignment(Lane *lane, int64_t now_mono_ns)
{
    if (lane_refresh_tokens(lane, now_mono_ns)) return -1;
    lane_recall_overlaps(lane, 0);
    return 0;
}

/* Take the rows that a predecessor has confirmed since they were assigned. One that it died in has its
 * time, by which the instrument may have been taken from another connection, but perhaps not yet its
 * epoch and mode. */
static inline void lane_recall_confirmed(Lane *lane)
{
    for (uint32_t i = 0; i < lane->tokens.capacity; i++) {
        const TokenEntry *entry = &lane->tokens.entries[i];
        if (entry->state != TOKEN_ACTIVE) continue;
        const ConfirmedC *row = &lane->confirmed[entry->slot];
        int current = row->instrument_token == entry->instrument_token &&
                      row->first_packet_mono_ns >= lane->assigned_mono_ns[entry->slot];
        lane->confirmed_keys[entry->slot] =
            current ? CONFIRMED_SINCE | (uint64_t)row->connection_epoch << 8 | row->mode : 0;
    }
}

/* Begin with the tokens that a predecessor has confirmed, as if they had been assigned and were not
 * any more; the assignment comes next. Returns 0, or -1 without memory. */
static inline int lane_recall_retired(Lane *lane, int64_t now_mono_ns)
{
    if (token_map_init(&lane->tokens, lane->assignment_capacity + lane->slot_count)) return -1;
    for (uint32_t slot = 0; slot < lane->slot_count; slot++) {
        const ConfirmedC *row = &lane->confirmed[slot];
        TokenEntry entry = {row->instrument_token, slot, row->mode, TOKEN_RETIRED, {0}};
        if (!row->instrument_token) continue;
        const TokenEntry *other = token_map_recall(&lane->tokens, row->instrument_token);
        if (other && lane->confirmed[other->slot].first_packet_mono_ns > row->first_packet_mono_ns) continue;
        token_map_put(&lane->tokens, entry, (TokenAside){now_mono_ns + LANE_GRACE_NS, 0});
    }
    return 0;
}

/* ---- what lingers, as a successor finds it ------------------------------------------------------- */

/* When the one lane that has an instrument received its first packet since it was assigned;
 * INT64_MAX without one: then nobody has let go of it on that account. */
static inline int64_t lane_first_packet(const Lane *lane, const TokenEntry *entry)
{
    const TokenEntry *own = token_map_find(&lane->tokens, entry->instrument_token);
    if (!own || own->slot != entry->slot || !lane->confirmed_keys[own->slot]) return INT64_MAX;
    return lane->confirmed[own->slot].first_packet_mono_ns;
}

/* One has let go of an instrument by that time; it lingers if another had it by then, alone. */
static inline void lane_recall_lingering(Lane *lane, const TokenEntry *entry, int64_t let_go_mono_ns)
{
    LaneGroup *group = lane->group;
    TickBase *base = &group->bases[entry->slot];
    if (group->holders[entry->slot] != 1) return;
    for (uint32_t i = 0; i < group->lane_count; i++) {
        if (lane_first_packet(group->lanes[i], entry) > let_go_mono_ns) continue;
        if (!(base->mark & BASE_SHARED)) lane_begin_overlap(lane, entry->slot);
        lane_linger(lane, entry->slot, let_go_mono_ns);
    }
}

/* By the confirmed tables of the others; and by the newest ticks, whose lanes may be gone. */
static inline void lane_recall_all_lingering(Lane *lane)
{
    LaneGroup *group = lane->group;
    for (uint32_t i = 0; i < group->lane_count; i++) {
        const Lane *each = group->lanes[i];
        for (uint32_t n = 0; n < each->tokens.capacity; n++) {
            const TokenEntry *entry = &each->tokens.entries[n];
            if (entry->state == TOKEN_EMPTY) continue;
            const TickBase *base = &group->bases[entry->slot];
            if (entry->state == TOKEN_RETIRED)
                lane_recall_lingering(lane, entry, each->assignment_mono_ns);
            else if (base->instrument_token == entry->instrument_token && base->mark >> BASE_CONNECTION_SHIFT != each->connection)
                lane_recall_lingering(lane, entry, lane_own_latest(lane, entry->slot)->receive_mono_ns);
        }
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
        int64_t lingers_until = lane->group->overlaps[slot].lingers_until_mono_ns;
        memset(base, 0, sizeof *base);
        if (tick->sequence) tick_base_set(base, tick, tick_base_mark(tick->connection) | tick->instrument_token);
        base->mark |= shared;
        if (!shared) continue;
        lane_begin_overlap(lane, slot);
        lane->group->overlaps[slot].lingers_until_mono_ns = lingers_until;
    }
    lane_recall_all_lingering(lane);
    lane_recall_overlaps(lane, 1);
}

#endif
