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

#include "layout.h"

#define NS_PER_S 1000000000ll
#define YEAR_2000_TS_NS (946684800ll * NS_PER_S)
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

/* An instrument's previous tick, as far as the next one is held against it: private memory,
 * one per slot of the latest table, equal at any time to the last record written there, so that
 * it can be rebuilt from the table. A token that differs means: no previous tick. */
typedef struct {
    double last_price;
    uint64_t volume_traded;         /* 0 = none, or a packet without */
    int64_t exchange_ts_ns;         /* 0 = none, or a packet without */
    uint32_t instrument_token;
    uint32_t known;                 /* 0 = no previous tick */
} TickBase;

static inline void tick_base_set(TickBase *base, const TickC *tick) {
    base->last_price = tick->last_price;
    base->volume_traded = tick->volume_traded;
    base->exchange_ts_ns = tick->exchange_ts_ns;
    base->instrument_token = tick->instrument_token;
    base->known = 1;
}

/* 1 if a time that is present cannot be right; without a receive time the future is not judged. */
static inline int time_is_bad(int64_t ts_ns, int64_t receive_ts_ns) {
    return ts_ns < YEAR_2000_TS_NS || (receive_ts_ns > 0 && ts_ns > receive_ts_ns + DAY_NS);
}

static inline uint32_t time_flags(const TickC *tick, unsigned carries) {
    int bad = 0;
    if (carries & CARRIES_EXCHANGE_TIME) bad |= time_is_bad(tick->exchange_ts_ns, tick->receive_ts_ns);
    /* An instrument that has not traded yet has no trade time. */
    if ((carries & CARRIES_TRADE_TIME) && (tick->last_trade_ts_ns != 0 || tick->volume_traded != 0))
        bad |= time_is_bad(tick->last_trade_ts_ns, tick->receive_ts_ns);
    return bad ? FLAG_BAD_TIME : 0;
}

/* Levels at price 0 are market orders of the pre-open session, or a one-sided book. */
static inline uint32_t book_flags(const TickC *tick) {
    int bid = tick->bid_price[0] != 0 && tick->bid_quantity[0] != 0;
    int ask = tick->ask_price[0] != 0 && tick->ask_quantity[0] != 0;
    return bid && ask && tick->bid_price[0] > tick->ask_price[0] ? FLAG_CROSSED : 0;
}

/* `close` is the previous session's and may lie anywhere. */
static inline uint32_t ohlc_flags(const TickC *tick) {
    return tick->low <= tick->open && tick->open <= tick->high ? 0 : FLAG_OHLC_INCONSISTENT;
}

static inline uint32_t base_flags(const TickC *tick, const TickBase *base, unsigned carries) {
    uint32_t flags = 0;
    if (!base->known || base->instrument_token != tick->instrument_token) return 0;
    if (base->last_price != 0 &&
        fabs(tick->last_price - base->last_price) > JUMP_RATIO * fabs(base->last_price))
        flags |= FLAG_JUMP;
    if ((carries & CARRIES_VOLUME) && tick->volume_traded < base->volume_traded) flags |= FLAG_VOLUME_DOWN;
    if ((carries & CARRIES_EXCHANGE_TIME) && tick->exchange_ts_ns < base->exchange_ts_ns)
        flags |= FLAG_BAD_TIME;
    return flags;
}

/* The doubting flags of a finished record. base: NULL = no previous tick is known. */
static inline uint32_t tick_flags(const TickC *tick, const TickBase *base, unsigned carries) {
    uint32_t flags = tick->last_price <= 0 ? FLAG_BAD_PRICE : 0;
    flags |= time_flags(tick, carries);
    if (carries & CARRIES_OHLC) flags |= ohlc_flags(tick);
    if (carries & CARRIES_DEPTH) flags |= book_flags(tick);
    if (base) flags |= base_flags(tick, base, carries);
    return flags;
}

#endif
