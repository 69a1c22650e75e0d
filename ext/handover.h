/* An instrument on more than one connection: which of its packets are news. Floor 0, plain C11.
 *
 * An instrument moves by being assigned to its new connection, with a higher owner epoch and the
 * same slot, before it is taken from the old one. As long as two lanes of a decoder have the slot
 * assigned it is *shared*, and both connections deliver it, each at its own pace. When one has let
 * go of it the other may be behind, and what lies in its ring was delivered: the instrument stays
 * shared for packets that were received within OVERLAP_LINGER_NS. There is no
 * sequence on the wire, so that only content tells a packet that was delivered from one that was
 * not. This is the rule, for packets of shared instruments; all others are delivered as they come,
 * and the owner epoch decides nothing here.
 *
 * Full, quote and full index packets have an order: exchange time, then volume, then time of the
 * last trade, each as far as both of two packets carry it and neither time is 0.
 *   1 Its content was delivered by another connection: REPEATED. Of a quote and a full packet, what
 *     the quote carries is compared: the quote is repeated by the full, never the reverse.
 *   2 The newest tick is of another connection, and later in order. If this one is not later than
 *     the first that the other has delivered since it came: BEHIND, for the other never had it.
 *     Else REPEATED: the other has gone past it.
 *   3 Else NEWS, also if it goes back on its own connection or says the same there once more.
 * Ltp packets and index packets without a time have no order:
 *   4 Equal to the newest tick, of another connection, in all that both carry: REPEATED, unless it
 *     is the first of its connection. Else NEWS that may be a repetition: FLAG_HANDOVER. Once the
 *     other has let go they are not compared: nobody else would deliver what was news after all.
 *
 * REPEATED is dropped and counted in packets_repeated. BEHIND is delivered with FLAG_HANDOVER, but
 * compared with no base and not written to the latest table, which holds the newest tick whoever
 * delivered it. NEWS is delivered; the first of a connection, after another has delivered the
 * instrument, has FLAG_HANDOVER, shared or not. Of packets of one order, OVERLAP_RECENT / 2 are
 * remembered: one that comes later than so many others may be delivered once more.
 *
 * Everything here can be rebuilt from the tick streams, the latest and the confirmed table.
 * `pipeline/brokers/handover.py` is the plain-Python twin.
 */
#ifndef PIPELINE_HANDOVER_H
#define PIPELINE_HANDOVER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "layout.h"
#include "tick_flags.h"

#define OVERLAP_RECENT 64u          /* contents; a full packet takes two */
#define OVERLAP_CONNECTIONS 4u      /* of one instrument at once */
#define OVERLAP_CONNECTION_BITS 16
/* How much later than another connection has let go of it an instrument's packets may have been
 * received on the one that is left, and repeat what the other has delivered: for so long a
 * connection may be silent before its feed gives it up (or a feed hang, before it is killed). */
#define OVERLAP_LINGER_NS (5 * NS_PER_S)

enum Novelty { TICK_NEWS = 0, TICK_BEHIND = 1, TICK_REPEATED = 2 };

/* What tells which of two ticks is later, as far as both carry it. */
typedef struct {
    int64_t exchange_ts_ns;
    int64_t last_trade_ts_ns;
    uint64_t volume_traded;
    uint32_t carries;               /* enum TickCarries */
} TickOrder;

/* Where a connection's ticks of the instrument begin: what was before, it never had. */
typedef struct {
    TickOrder order;                /* carries nothing: it was there before all others */
    uint32_t connection_epoch;
    uint16_t connection;
    uint16_t known;
} OverlapSince;

/* A shared instrument; private memory, one per slot of the latest table, touched only while shared.
 * It *lingers* when but one connection has it still. */
typedef struct {
    int64_t lingers_until_mono_ns;  /* by receive times; 0: more than one connection has it */
    OverlapSince since[OVERLAP_CONNECTIONS];
    uint64_t recent[OVERLAP_RECENT]; /* hash of a content, and in the lower bits who delivered it */
    uint32_t next_recent;
    uint32_t next_since;
} Overlap;

static inline unsigned tick_carries(const TickC *tick) {
    unsigned carries = tick->mode >= MODE_QUOTE ? CARRIES_OHLC : 0;
    if (tick->mode == MODE_FULL) carries |= CARRIES_EXCHANGE_TIME;
    if (tick->flags & FLAG_INDEX_LAYOUT) return carries;
    if (tick->mode >= MODE_QUOTE) carries |= CARRIES_VOLUME;
    if (tick->mode == MODE_FULL) carries |= CARRIES_TRADE_TIME | CARRIES_DEPTH;
    return carries;
}

static inline TickOrder tick_order(const TickC *tick) {
    unsigned carries = tick_carries(tick) & (CARRIES_EXCHANGE_TIME | CARRIES_VOLUME | CARRIES_TRADE_TIME);
    if (tick->exchange_ts_ns == 0) carries &= ~(unsigned)CARRIES_EXCHANGE_TIME;
    if (tick->last_trade_ts_ns == 0) carries &= ~(unsigned)CARRIES_TRADE_TIME;
    return (TickOrder){tick->exchange_ts_ns, tick->last_trade_ts_ns, tick->volume_traded, carries};
}

/* 1 if the first is certainly earlier than the second. */
static inline int tick_order_before(const TickOrder *first, const TickOrder *second) {
    uint32_t both = first->carries & second->carries;
    if (both & CARRIES_EXCHANGE_TIME && first->exchange_ts_ns != second->exchange_ts_ns)
        return first->exchange_ts_ns < second->exchange_ts_ns;
    if (both & CARRIES_VOLUME && first->volume_traded != second->volume_traded)
        return first->volume_traded < second->volume_traded;
    return both & CARRIES_TRADE_TIME && first->last_trade_ts_ns < second->last_trade_ts_ns;
}

static inline int tick_is_before(const TickC *first, const TickC *second) {
    TickOrder one = tick_order(first), other = tick_order(second);
    return tick_order_before(&one, &other);
}

/* ---- content: all that came off the wire, of which a record's fields are made ---------------- */

static inline uint64_t content_mix(uint64_t hash, const void *record, size_t begin, size_t end) {
    for (size_t at = begin; at < end; at += sizeof(uint32_t)) {
        uint32_t word;
        memcpy(&word, (const uint8_t *)record + at, sizeof word);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
        hash ^= hash >> 29;
    }
    return hash;
}

_Static_assert(offsetof(TickC, exchange_ts_ns) + 8 == offsetof(TickC, last_trade_ts_ns), "content");
_Static_assert(offsetof(TickC, instrument_token) + 4 == offsetof(TickC, connection_epoch), "content");
_Static_assert(offsetof(TickC, bid_orders) % 4 == 0 && offsetof(TickC, mode) % 4 == 0, "content");

static inline uint64_t content_of_full(const TickC *tick) {
    uint64_t hash = content_mix(MODE_FULL, tick, offsetof(TickC, exchange_ts_ns), offsetof(TickC, connection_epoch));
    hash = content_mix(hash, tick, offsetof(TickC, last_traded_quantity), offsetof(TickC, packet_index));
    return content_mix(hash, tick, offsetof(TickC, bid_orders), offsetof(TickC, mode));
}

/* What a quote carries, of a quote or a full record. */
static inline uint64_t content_of_quote(const TickC *tick) {
    uint64_t hash = content_mix(MODE_QUOTE ^ tick->instrument_token, tick, offsetof(TickC, last_price), offsetof(TickC, bid_price));
    hash = content_mix(hash, tick, offsetof(TickC, volume_traded), offsetof(TickC, oi));
    return content_mix(hash, tick, offsetof(TickC, last_traded_quantity), offsetof(TickC, bid_quantity));
}

static inline uint64_t content_of(const TickC *tick) {
    return tick->mode == MODE_FULL ? content_of_full(tick) : content_of_quote(tick);
}

/* 1 if two ticks of an instrument are equal in all that both carry; one of them has no order. */
static inline int content_agrees(const TickC *tick, const TickC *other) {
    if (tick->mode == MODE_LTP || other->mode == MODE_LTP) return tick->last_price == other->last_price;
    return content_of_quote(tick) == content_of_quote(other);
}

/* ---- what is remembered -------------------------------------------------------------------------- */

static inline OverlapSince *overlap_since(Overlap *overlap, uint16_t connection) {
    for (uint32_t i = 0; i < OVERLAP_CONNECTIONS; i++)
        if (overlap->since[i].known && overlap->since[i].connection == connection) return &overlap->since[i];
    return NULL;
}

/* 1 if another connection has delivered the instrument. */
static inline int overlap_has_other(const Overlap *overlap, uint16_t connection) {
    for (uint32_t i = 0; i < OVERLAP_CONNECTIONS; i++)
        if (overlap->since[i].known && overlap->since[i].connection != connection) return 1;
    return 0;
}

static inline void overlap_begin_connection(Overlap *overlap, uint16_t connection, uint32_t connection_epoch, TickOrder order) {
    OverlapSince *since = overlap_since(overlap, connection);
    if (!since) since = &overlap->since[overlap->next_since++ % OVERLAP_CONNECTIONS];
    *since = (OverlapSince){order, connection_epoch, connection, 1};
}

/* The instrument is assigned anew to a connection: what that had of it before is of another time. */
static inline void overlap_forget_connection(Overlap *overlap, uint16_t connection) {
    OverlapSince *since = overlap_since(overlap, connection);
    if (since) since->known = 0;
}

static inline uint64_t overlap_entry(uint64_t content, uint16_t connection) {
    return (content >> OVERLAP_CONNECTION_BITS << OVERLAP_CONNECTION_BITS) | connection;
}

/* 1 if the content was delivered, and not by this connection. */
static inline int overlap_knows(const Overlap *overlap, uint64_t content, uint16_t connection) {
    const uint64_t own = overlap_entry(content, connection);
    for (uint32_t i = 0; i < OVERLAP_RECENT; i++)
        if ((overlap->recent[i] ^ own) >> OVERLAP_CONNECTION_BITS == 0 && overlap->recent[i] != own) return 1;
    return 0;
}

static inline void overlap_remember_content(Overlap *overlap, uint64_t content, uint16_t connection) {
    const uint64_t entry = overlap_entry(content, connection);
    for (uint32_t i = 0; i < OVERLAP_RECENT; i++)
        if (overlap->recent[i] == entry) return;
    overlap->recent[overlap->next_recent++ % OVERLAP_RECENT] = entry;
}

/* Remember a delivered tick that has an order. */
static inline void overlap_remember(Overlap *overlap, const TickC *tick) {
    if (tick->mode == MODE_FULL) overlap_remember_content(overlap, content_of_full(tick), tick->connection);
    overlap_remember_content(overlap, content_of_quote(tick), tick->connection);
}

/* ---- the rule ------------------------------------------------------------------------------------ */

/* As it stands above. newest: the newest tick of the instrument if another connection delivered it,
 * else NULL; begins: 1 if this connection has delivered nothing yet. */
static inline enum Novelty overlap_judge(Overlap *overlap, const TickC *tick, const TickC *newest, int begins) {
    TickOrder order = tick_order(tick), newest_order;
    if (!order.carries) return newest && !begins && content_agrees(tick, newest) ? TICK_REPEATED : TICK_NEWS;
    if (overlap_knows(overlap, content_of(tick), tick->connection)) return TICK_REPEATED;
    if (!newest) return TICK_NEWS;
    newest_order = tick_order(newest);
    if (!tick_order_before(&order, &newest_order)) return TICK_NEWS;
    const OverlapSince *since = overlap_since(overlap, newest->connection);
    if (!since || !(since->order.carries & order.carries)) return TICK_REPEATED;
    return tick_order_before(&since->order, &order) ? TICK_REPEATED : TICK_BEHIND;
}

/* 1 if the rule applies to a packet: always while shared, and to what has an order while it lingers. */
static inline int overlap_applies(const Overlap *overlap, const TickC *tick, TickBase *base) {
    if (!overlap->lingers_until_mono_ns) return 1;
    if (tick->receive_mono_ns > overlap->lingers_until_mono_ns || base->instrument_token != tick->instrument_token)
        base->mark &= ~(uint32_t)BASE_SHARED;
    return base->mark & BASE_SHARED && tick_order(tick).carries;
}

/* Flag a record as if its instrument were not shared, and make it the base. */
static inline enum Novelty overlap_pass(TickC *tick, TickBase *base, uint64_t key, uint64_t shared, int known) {
    TickSeen seen = {.last_price = tick->last_price, .volume_traded = tick->volume_traded,
                     .exchange_ts_ns = tick->exchange_ts_ns};
    if (known) tick->flags |= base_flags(&seen, base, tick_carries(tick));
    tick_base_set(base, tick, key | shared);
    return TICK_NEWS;
}

/* Judge a finished record of a shared instrument, flag it, and take it up if it is to be delivered.
 *
 * base: of its slot; NEWS becomes the base. latest: the slot's record in the latest table, which is
 * the base's unless this connection delivered the base, in the unit under construction. */
static inline enum Novelty overlap_take(Overlap *overlap, TickC *tick, TickBase *base, const TickC *latest) {
    const uint64_t key = tick_base_mark(tick->connection) | tick->instrument_token;
    const int applies = overlap_applies(overlap, tick, base);
    const uint64_t shared = (uint64_t)(base->mark & (BASE_SHARED | BASE_FRESH)) << 32;
    const int known = base->mark & BASE_KNOWN && base->instrument_token == tick->instrument_token;
    const TickC *newest = known && tick_base_key(base) != (key | shared) ? latest : NULL;
    if (!applies) {
        if (newest) tick->flags |= FLAG_HANDOVER;
        return overlap_pass(tick, base, key, shared, known);
    }
    const OverlapSince *since = overlap_since(overlap, tick->connection);
    const int begins = !since || since->connection_epoch != tick->connection_epoch;
    const TickOrder order = tick_order(tick);
    const enum Novelty novelty = overlap_judge(overlap, tick, newest, begins);
    if (novelty == TICK_REPEATED) return novelty;
    if (novelty == TICK_BEHIND || (begins && newest) || (!order.carries && overlap_has_other(overlap, tick->connection)))
        tick->flags |= FLAG_HANDOVER;
    if (novelty == TICK_BEHIND) return novelty;
    if (begins) overlap_begin_connection(overlap, tick->connection, tick->connection_epoch, order);
    if (order.carries) overlap_remember(overlap, tick);
    return overlap_pass(tick, base, key, shared, known);
}

#endif
