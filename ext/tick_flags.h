/* Tier-1 plausibility: flags that doubt a tick, set while it is still in the cache.
 *
 * Broker-neutral: works on a finished record, on what its packet carried, and on the same
 * instrument's previous tick. "Now" is the frame's receive time, so a replay gives the same
 * flags. A tick is never altered or dropped here. `pipeline/brokers/tick_flags.py` is the
 * plain-Python twin.
 */
#ifndef PIPELINE_TICK_FLAGS_H
#define PIPELINE_TICK_FLAGS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "layout.h"

#define NS_PER_S 1000000000ll
#define YEAR_2000_S 946684800
#define YEAR_2000_TS_NS (YEAR_2000_S * NS_PER_S)
#define DAY_NS (86400ll * NS_PER_S)
#define JUMP_RATIO 0.2

/* The flags that say "look twice"; the others only describe the tick. */
#define FLAGS_DOUBT (FLAG_BAD_PRICE | FLAG_BAD_TIME | FLAG_CROSSED | FLAG_VOLUME_DOWN | \
                     FLAG_OHLC_INCONSISTENT | FLAG_JUMP | FLAG_SATURATED | FLAG_STALE_BASE)

/* What a packet carried: a field that it lacks is zero in the record and says nothing. */
enum TickCarries {
    CARRIES_OHLC = 1 << 0,
    CARRIES_VOLUME = 1 << 1,
    CARRIES_EXCHANGE_TIME = 1 << 2,
    CARRIES_TRADE_TIME = 1 << 3,
    CARRIES_DEPTH = 1 << 4
};

/* The fields that are looked at, as values: a record written with wide stores cannot be read back
 * at once without waiting for them. Those that the packet lacks are zero. */
typedef struct {
    double last_price;
    double open;
    double high;
    double low;
    double bid_price;               /* the best */
    double ask_price;
    uint64_t volume_traded;
    int64_t exchange_ts_ns;
    int64_t last_trade_ts_ns;
    uint32_t bid_quantity;
    uint32_t ask_quantity;
} TickSeen;

/* An instrument's previous tick, as far as the next one is held against it: private memory,
 * one per slot of the latest table, equal at any time to the last record written there, so that
 * it can be rebuilt from the table. A token that differs means: no previous tick. */
typedef struct {
    double last_price;
    uint64_t volume_traded;         /* 0 = none, or a packet without */
    int64_t exchange_ts_ns;         /* 0 = none, or a packet without */
    uint32_t instrument_token;
    uint32_t mark;                  /* enum BaseMark, and the tick's connection from BASE_CONNECTION_SHIFT on */
} TickBase;

enum BaseMark {
    BASE_KNOWN = 1 << 0,            /* there is a previous tick */
    BASE_SHARED = 1 << 1,           /* more than one connection has the slot assigned: see handover.h */
    BASE_FRESH = 1 << 2,            /* has become so, and nothing is known yet of what was delivered */
    BASE_CONNECTION_SHIFT = 16
};

/* Beside the flags of a tick, which none of them is: its instrument is shared, so that nothing was
 * compared with its base; there is no previous tick. */
#define TICK_SHARED (1u << 31)
#define TICK_FIRST (1u << 30)

/* The mark of a base whose instrument is not shared, as the upper half of its key. */
static inline uint64_t tick_base_mark(uint16_t connection) {
    return (uint64_t)((uint32_t)connection << BASE_CONNECTION_SHIFT | BASE_KNOWN) << 32;
}

/* Token and mark of a base in one word: the key of a previous tick of the same connection. */
static inline uint64_t tick_base_key(const TickBase *base) {
    uint64_t word;
    memcpy(&word, &base->instrument_token, sizeof word);
    return word;
}

static inline void tick_base_set_key(TickBase *base, uint64_t key) {
    memcpy(&base->instrument_token, &key, sizeof key);
}

/* Make a record the base; it is whole but for its stamps, which `key` stands for. */
static inline void tick_base_set(TickBase *base, const TickC *tick, uint64_t key) {
    base->last_price = tick->last_price;
    base->volume_traded = tick->volume_traded;
    base->exchange_ts_ns = tick->exchange_ts_ns;
    tick_base_set_key(base, key);
}

static inline void tick_base_see(TickBase *base, const TickSeen *seen, uint64_t key) {
    base->last_price = seen->last_price;
    base->volume_traded = seen->volume_traded;
    base->exchange_ts_ns = seen->exchange_ts_ns;
    tick_base_set_key(base, key);
}

/* What a base is to a tick of that key; FLAG_HANDOVER: its instrument's previous tick, which
 * another connection delivered. */
static inline uint32_t tick_base_says(const TickBase *base, uint64_t key) {
    if (base->mark & BASE_SHARED) return TICK_SHARED;
    if (!(base->mark & BASE_KNOWN) || base->instrument_token != (uint32_t)key) return TICK_FIRST;
    return tick_base_key(base) == key ? 0 : FLAG_HANDOVER;
}

/* Below, conditions are combined with & and | rather than && and ||: the data decide them, and
 * a branch that data decide is mispredicted half the time. */

/* 1 if a time that is present cannot be right; without a receive time the future is not judged. */
static inline uint32_t time_is_bad(int64_t ts_ns, int64_t receive_ts_ns) {
    int64_t latest_ts_ns = receive_ts_ns > 0 ? receive_ts_ns + DAY_NS : INT64_MAX;
    return (uint32_t)((ts_ns < YEAR_2000_TS_NS) | (ts_ns > latest_ts_ns));
}

static inline uint32_t time_flags(const TickSeen *seen, int64_t receive_ts_ns, unsigned carries) {
    uint32_t bad = 0;
    if (carries & CARRIES_EXCHANGE_TIME) bad |= time_is_bad(seen->exchange_ts_ns, receive_ts_ns);
    if (carries & CARRIES_TRADE_TIME) {
        /* An instrument that has not traded yet has no trade time. */
        uint32_t expected = ((uint64_t)seen->last_trade_ts_ns | seen->volume_traded) != 0;
        bad |= expected & time_is_bad(seen->last_trade_ts_ns, receive_ts_ns);
    }
    return bad * FLAG_BAD_TIME;
}

/* Levels at price 0 are market orders of the pre-open session, or a one-sided book. */
static inline uint32_t book_flags(const TickSeen *seen) {
    uint32_t prices = (uint32_t)((seen->bid_price != 0) & (seen->ask_price != 0));
    uint32_t quantities = (uint32_t)((seen->bid_quantity != 0) & (seen->ask_quantity != 0));
    return (prices & quantities & (seen->bid_price > seen->ask_price)) * FLAG_CROSSED;
}

/* `close` is the previous session's and may lie anywhere. */
static inline uint32_t ohlc_flags(const TickSeen *seen) {
    return (uint32_t)((seen->open < seen->low) | (seen->open > seen->high)) * FLAG_OHLC_INCONSISTENT;
}

static inline uint32_t base_flags(const TickSeen *seen, const TickBase *base, unsigned carries) {
    double moved = fabs(seen->last_price - base->last_price);
    uint32_t jumped = (uint32_t)((base->last_price != 0) & (moved > JUMP_RATIO * fabs(base->last_price)));
    uint32_t flags = jumped * FLAG_JUMP;
    if (carries & CARRIES_VOLUME)
        flags |= (uint32_t)(seen->volume_traded < base->volume_traded) * FLAG_VOLUME_DOWN;
    if (carries & CARRIES_EXCHANGE_TIME)
        flags |= (uint32_t)(seen->exchange_ts_ns < base->exchange_ts_ns) * FLAG_BAD_TIME;
    return flags;
}

/* The doubting flags of a tick. base: the instrument's previous tick, NULL = none is known; carries:
 * a constant where this is called, so that only what the packet has is looked at. */
static inline uint32_t tick_flags(const TickSeen *seen, int64_t receive_ts_ns, const TickBase *base, unsigned carries) {
    uint32_t flags = (uint32_t)(seen->last_price <= 0) * FLAG_BAD_PRICE;
    flags |= time_flags(seen, receive_ts_ns, carries);
    if (carries & CARRIES_OHLC) flags |= ohlc_flags(seen);
    if (carries & CARRIES_DEPTH) flags |= book_flags(seen);
    if (base) flags |= base_flags(seen, base, carries);
    return flags;
}

/* As tick_flags, whatever the base is to the tick, of which key is; it becomes the base, unless the
 * flags are TICK_SHARED. */
static inline uint32_t tick_flags_of_any(const TickSeen *seen, uint64_t key, int64_t receive_ts_ns, TickBase *base,
                                         unsigned carries) {
    uint32_t says = base ? tick_base_says(base, key) : TICK_FIRST;
    uint32_t flags = tick_flags(seen, receive_ts_ns, says & (TICK_SHARED | TICK_FIRST) ? NULL : base, carries);
    if (base && says != TICK_SHARED) tick_base_see(base, seen, key);
    return flags | (says & ~TICK_FIRST);
}

#endif
