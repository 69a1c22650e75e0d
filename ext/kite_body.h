/* One Kite packet's body -> the fields of a tick record, in portable C. Floor 0, plain C11.
 *
 * Each writer fills what its packet carries, into a record whose other fields are zero, and gives
 * back what the flags are made of. Only `kite_write_full` writes every field that is not the
 * caller's (the stamps, token, flags, packet index and connection), and makes the flags.
 */
#ifndef PIPELINE_KITE_BODY_H
#define PIPELINE_KITE_BODY_H

#include "endian.h"
#include "kite_wire.h"
#include "tick_flags.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

#define KITE_CARRIES_INDEX CARRIES_OHLC
#define KITE_CARRIES_INDEX_FULL (CARRIES_OHLC | CARRIES_EXCHANGE_TIME)
#define KITE_CARRIES_QUOTE (CARRIES_OHLC | CARRIES_VOLUME)
#define KITE_CARRIES_FULL \
    (CARRIES_OHLC | CARRIES_VOLUME | CARRIES_EXCHANGE_TIME | CARRIES_TRADE_TIME | CARRIES_DEPTH)

static inline double kite_price(const uint8_t *bytes, double divisor) {
    return (double)(int32_t)read_be32(bytes) / divisor;
}

/* Epoch seconds -> UTC nanoseconds; 0 stays 0 and means none. */
static inline int64_t kite_time_ns(const uint8_t *bytes) {
    return (int64_t)read_be32(bytes) * NS_PER_S;
}

/* Percent of the previous close, in kiteconnect's order of operations. */
static inline double kite_change(double last_price, double close) {
    return close != 0 ? (last_price - close) * 100 / close : 0.0;
}

/* Zero a record in lines: for the whole of it, compilers call memset or use `rep stos`. */
static inline void kite_clear(TickC *tick) {
    for (size_t line = 0; line < sizeof *tick; line += CACHE_LINE)
        __builtin_memset((uint8_t *)tick + line, 0, CACHE_LINE);
}

ALWAYS_INLINE TickSeen kite_write_ltp(TickC *tick, const uint8_t *body, const KiteScale *scale) {
    TickSeen seen = {.last_price = kite_price(body + KITE_LAST_PRICE_OFFSET, scale->divisor)};
    tick->last_price = seen.last_price;
    tick->mode = MODE_LTP;
    return seen;
}

/* The four prices and the change, wherever the packet has them. */
ALWAYS_INLINE TickSeen kite_write_ohlc(TickC *tick, const uint8_t *body, double divisor, int open_offset,
                                       int high_offset, int low_offset, int close_offset) {
    TickSeen seen = {.last_price = kite_price(body + KITE_LAST_PRICE_OFFSET, divisor),
                     .open = kite_price(body + open_offset, divisor),
                     .high = kite_price(body + high_offset, divisor),
                     .low = kite_price(body + low_offset, divisor)};
    tick->last_price = seen.last_price;
    tick->open = seen.open;
    tick->high = seen.high;
    tick->low = seen.low;
    tick->close = kite_price(body + close_offset, divisor);
    tick->change = kite_change(seen.last_price, tick->close);
    return seen;
}

ALWAYS_INLINE TickSeen kite_write_index(TickC *tick, const uint8_t *body, const KiteScale *scale) {
    tick->mode = MODE_QUOTE;
    return kite_write_ohlc(tick, body, scale->divisor, KITE_INDEX_OPEN_OFFSET, KITE_INDEX_HIGH_OFFSET,
                           KITE_INDEX_LOW_OFFSET, KITE_INDEX_CLOSE_OFFSET);
}

ALWAYS_INLINE TickSeen kite_write_index_full(TickC *tick, const uint8_t *body, const KiteScale *scale) {
    TickSeen seen = kite_write_index(tick, body, scale);
    seen.exchange_ts_ns = kite_time_ns(body + KITE_INDEX_TIME_OFFSET);
    tick->exchange_ts_ns = seen.exchange_ts_ns;
    tick->mode = MODE_FULL;
    return seen;
}

ALWAYS_INLINE TickSeen kite_write_quote(TickC *tick, const uint8_t *body, const KiteScale *scale) {
    TickSeen seen = kite_write_ohlc(tick, body, scale->divisor, KITE_OPEN_OFFSET, KITE_HIGH_OFFSET,
                                    KITE_LOW_OFFSET, KITE_CLOSE_OFFSET);
    seen.volume_traded = read_be32(body + KITE_VOLUME_OFFSET);
    tick->average_traded_price = kite_price(body + KITE_AVERAGE_PRICE_OFFSET, scale->divisor);
    tick->volume_traded = seen.volume_traded;
    tick->total_buy_quantity = read_be32(body + KITE_BUY_QUANTITY_OFFSET);
    tick->total_sell_quantity = read_be32(body + KITE_SELL_QUANTITY_OFFSET);
    tick->last_traded_quantity = read_be32(body + KITE_LAST_QUANTITY_OFFSET);
    tick->mode = MODE_QUOTE;
    return seen;
}

static inline void kite_write_side(const uint8_t *levels, double divisor, double *price,
                                   uint32_t *quantity, uint16_t *orders) {
    for (int i = 0; i < DEPTH_LEVELS; i++) {
        const uint8_t *level = levels + i * KITE_LEVEL_BYTES;
        quantity[i] = read_be32(level);
        price[i] = kite_price(level + KITE_LEVEL_PRICE_OFFSET, divisor);
        orders[i] = read_be16(level + KITE_LEVEL_ORDERS_OFFSET);
    }
}

/* ---- the full packet -------------------------------------------------------------------------
 *
 * Most are beyond doubt, which takes few comparisons of raw integers to see: one divisor keeps the
 * order of prices. Whatever is not plain so gets its flags by the rules of tick_flags.h. */

/* What a frame's stamp says of all its packets. */
typedef struct {
    int64_t receive_ts_ns;
    uint64_t base_mark;             /* of a previous tick of the same connection */
    int32_t latest_s;               /* later exchange times are in doubt */
    uint32_t times_s;               /* how many are not, from YEAR_2000_S on */
} KiteNow;

static inline KiteNow kite_now(int64_t receive_ts_ns, uint16_t connection) {
    int64_t latest_s = INT32_MAX;
    if (receive_ts_ns > 0 && receive_ts_ns < INT32_MAX * NS_PER_S) latest_s = (receive_ts_ns + DAY_NS) / NS_PER_S;
    if (latest_s > INT32_MAX) latest_s = INT32_MAX;
    return (KiteNow){receive_ts_ns, tick_base_mark(connection), (int32_t)latest_s,
                     latest_s < YEAR_2000_S ? 0 : (uint32_t)(latest_s - YEAR_2000_S + 1)};
}

/* 1 if the price has not jumped for certain; also 0 from a base price of 0 or below. */
static inline int kite_stayed(double last_price, double base_price) {
    return fabs(last_price - base_price) < JUMP_RATIO * base_price;
}

/* The flags of a finished record that is not plainly beyond doubt, or has another base than that of
 * the same connection's previous tick; makes it the base, but where the instrument is shared. */
static __attribute__((noinline, cold)) uint32_t kite_doubt(const TickC *tick, uint64_t key, int64_t receive_ts_ns,
                                                           TickBase *base, unsigned carries) {
    TickSeen seen = {tick->last_price, tick->open, tick->high, tick->low, tick->bid_price[0], tick->ask_price[0],
                     tick->volume_traded, tick->exchange_ts_ns, tick->last_trade_ts_ns, tick->bid_quantity[0],
                     tick->ask_quantity[0]};
    return tick_flags_of_any(&seen, key, receive_ts_ns, base, carries);
}

static inline int32_t kite_integer(const uint8_t *bytes) { return (int32_t)read_be32(bytes); }

/* 1 if nothing that the packet carries is in doubt; 0 says no more than look again. */
static inline int kite_is_plain_full(const uint8_t *body, int32_t latest_s) {
    int32_t open = kite_integer(body + KITE_OPEN_OFFSET);
    int32_t exchange_s = kite_integer(body + KITE_TIME_OFFSET), trade_s = kite_integer(body + KITE_TRADE_TIME_OFFSET);
    return kite_integer(body + KITE_LAST_PRICE_OFFSET) > 0 && open >= kite_integer(body + KITE_LOW_OFFSET) &&
           open <= kite_integer(body + KITE_HIGH_OFFSET) &&
           kite_integer(body + KITE_BIDS_OFFSET + KITE_LEVEL_PRICE_OFFSET) <=
               kite_integer(body + KITE_ASKS_OFFSET + KITE_LEVEL_PRICE_OFFSET) &&
           exchange_s >= YEAR_2000_S && exchange_s <= latest_s && trade_s >= YEAR_2000_S && trade_s <= latest_s;
}

static inline int kite_follows(const TickC *tick, const TickBase *base, uint64_t key) {
    return tick_base_key(base) == key && tick->volume_traded >= base->volume_traded &&
           tick->exchange_ts_ns >= base->exchange_ts_ns && kite_stayed(tick->last_price, base->last_price);
}

/* Returns the flags that doubt the tick, and makes it the base, but where the instrument is shared. */
ALWAYS_INLINE uint32_t kite_write_full(TickC *tick, const uint8_t *body, const KiteScale *scale, uint32_t token,
                                       KiteNow now, TickBase *base) {
    const uint64_t key = now.base_mark | token;
    kite_write_quote(tick, body, scale);
    tick->last_trade_ts_ns = kite_time_ns(body + KITE_TRADE_TIME_OFFSET);
    tick->exchange_ts_ns = kite_time_ns(body + KITE_TIME_OFFSET);
    tick->oi = read_be32(body + KITE_OI_OFFSET);
    tick->oi_day_high = read_be32(body + KITE_OI_HIGH_OFFSET);
    tick->oi_day_low = read_be32(body + KITE_OI_LOW_OFFSET);
    kite_write_side(body + KITE_BIDS_OFFSET, scale->divisor, tick->bid_price, tick->bid_quantity,
                    tick->bid_orders);
    kite_write_side(body + KITE_ASKS_OFFSET, scale->divisor, tick->ask_price, tick->ask_quantity,
                    tick->ask_orders);
    tick->mode = MODE_FULL;
    tick->broker = BROKER_KITE;
    memset(tick->_pad, 0, sizeof tick->_pad);
    if (__builtin_expect(!kite_is_plain_full(body, now.latest_s) || (base && !kite_follows(tick, base, key)), 0))
        return kite_doubt(tick, key, now.receive_ts_ns, base, KITE_CARRIES_FULL);
    if (base) tick_base_set(base, tick, key);
    return 0;
}

#endif
