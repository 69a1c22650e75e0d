/* One tick record -> the JSON of a market data message, as OpenAlgo's clients read it. Floor 0, plain C11.
 *
 *   | frame header 2 or 4 | {"type":"market_data","symbol":..,"exchange":..,"mode":3,"data": | data | ,"broker":..} |
 *   data  {"symbol":..,"exchange":..,"mode":"full", ltp, times | OHLC, volume .. | depth }
 *
 * The bytes that an instrument's messages have in common are made once (MarketName); what is written
 * here are the fields. A record has what its packet carried: fields that it has not are left out, a
 * price that is no number too, and nothing is pretended to be 0. Integers stay integers and prices
 * always have a point, because typed clients take nothing else. No client is told of here: the same
 * bytes go to all.
 *
 * Frame header: RFC 6455, section 5.2, a final text frame without a mask.
 */
#ifndef PIPELINE_MARKET_JSON_H
#define PIPELINE_MARKET_JSON_H

#include "decimal_text.h"
#include "kite_wire.h"
#include "layout.h"

#define MARKET_NAME_MAX 4096u      /* what MarketName holds */
#define MARKET_FIELDS_MAX 4096u    /* what a record's fields come to at most; the worst takes 2,500 */
#define MARKET_HEADER_MAX 4u
#define MARKET_FRAME_MAX (MARKET_HEADER_MAX + MARKET_NAME_MAX + MARKET_FIELDS_MAX + 8)

_Static_assert(MARKET_FRAME_MAX < 16000, "a client reads no frame that is longer, and none of a 64-bit length");

/* An instrument's constant bytes: head up to the name of the data's mode, tail from the data's end. */
typedef struct {
    const uint8_t *head;
    const uint8_t *tail;
    uint32_t head_bytes;
    uint32_t tail_bytes;
    uint32_t mode_at;               /* in head: the digit of the envelope's mode */
    uint32_t data_at;               /* in head: where the data begins */
} MarketName;

#define NS_PER_MS 1000000
#define PUT(out, text) (memcpy((out), (text), sizeof(text) - 1), (out) + sizeof(text) - 1)

/* A field whose value may have no text: then the field is left out. */
#define PUT_PRICE(out, key, price, scale)                                                 \
    do {                                                                                  \
        uint8_t *const behind_ = decimal_put_price(PUT((out), key), (price), (scale));    \
        if (behind_) (out) = behind_;                                                     \
    } while (0)

static inline DecimalScale market_scale(uint32_t instrument_token) {
    const double divisor = kite_scale(kite_segment(instrument_token))->divisor;
    return (DecimalScale){divisor, divisor == 1e2 ? 2 : divisor == 1e4 ? 4 : 7};
}

/* Floors, so that the order of times is kept on both sides of the epoch. */
static inline int64_t market_ms(int64_t ts_ns) { return ts_ns / NS_PER_MS - (ts_ns % NS_PER_MS < 0); }

/* Quantities beyond what typed clients can read stay at the most that they can. */
static inline uint64_t market_i64(uint64_t value) { return value < INT64_MAX ? value : INT64_MAX; }
static inline uint32_t market_i32(uint32_t value) { return value < INT32_MAX ? value : INT32_MAX; }

static inline uint8_t *market_put_count(uint8_t *out, uint64_t value) {
    return decimal_put_unsigned(out, market_i64(value));
}

/* ---- the fields of a mode, each part with the comma before it --------------------------------- */

static inline uint8_t *market_put_ltp(uint8_t *out, const TickC *tick, const DecimalScale *scale) {
    const int64_t receive_ms = market_ms(tick->receive_ts_ns);
    const int64_t exchange_ms = tick->exchange_ts_ns > 0 ? market_ms(tick->exchange_ts_ns) : receive_ms;
    PUT_PRICE(out, ",\"ltp\":", tick->last_price, scale);
    out = decimal_put_signed(PUT(out, ",\"ltt\":"), exchange_ms);
    out = decimal_put_signed(PUT(out, ",\"timestamp\":"), exchange_ms);
    return decimal_put_signed(PUT(out, ",\"receive_timestamp\":"), receive_ms);
}

/* In rupees, by the integers where there are any: a difference of doubles has places of its own. */
static inline uint8_t *market_put_change(uint8_t *out, const TickC *tick, const DecimalScale *scale) {
    int64_t last, close;
    uint8_t *behind;
    if (tick->close == 0) return out;
    behind = PUT(out, ",\"change\":");
    if (decimal_integer(tick->last_price, scale->divisor, &last) && decimal_integer(tick->close, scale->divisor, &close))
        behind = decimal_put_integer(behind, last - close, scale->places);
    else behind = decimal_put_double(behind, tick->last_price - tick->close);
    if (behind) out = behind;
    behind = decimal_put_double(PUT(out, ",\"change_percent\":"), tick->change);
    return behind ? behind : out;
}

static inline uint8_t *market_put_ohlc(uint8_t *out, const TickC *tick, const DecimalScale *scale) {
    PUT_PRICE(out, ",\"open\":", tick->open, scale);
    PUT_PRICE(out, ",\"high\":", tick->high, scale);
    PUT_PRICE(out, ",\"low\":", tick->low, scale);
    PUT_PRICE(out, ",\"close\":", tick->close, scale);
    return market_put_change(out, tick, scale);
}

static inline uint8_t *market_put_volume(uint8_t *out, const TickC *tick, const DecimalScale *scale) {
    out = market_put_count(PUT(out, ",\"volume\":"), tick->volume_traded);
    out = market_put_count(PUT(out, ",\"last_quantity\":"), market_i32(tick->last_traded_quantity));
    out = market_put_count(PUT(out, ",\"last_trade_quantity\":"), market_i32(tick->last_traded_quantity));
    PUT_PRICE(out, ",\"average_price\":", tick->average_traded_price, scale);
    PUT_PRICE(out, ",\"avg_trade_price\":", tick->average_traded_price, scale);
    out = market_put_count(PUT(out, ",\"total_buy_quantity\":"), tick->total_buy_quantity);
    return market_put_count(PUT(out, ",\"total_sell_quantity\":"), tick->total_sell_quantity);
}

/* What a quote has of a full packet. An empty level is 0 on both sides: that is what the book says. */
static inline uint8_t *market_put_best(uint8_t *out, const TickC *tick, const DecimalScale *scale) {
    if (tick->last_trade_ts_ns > 0)
        out = decimal_put_signed(PUT(out, ",\"last_trade_time\":"), market_ms(tick->last_trade_ts_ns));
    out = market_put_count(PUT(out, ",\"oi\":"), tick->oi);
    out = market_put_count(PUT(out, ",\"open_interest\":"), tick->oi);
    PUT_PRICE(out, ",\"bid_price\":", tick->bid_price[0], scale);
    PUT_PRICE(out, ",\"ask_price\":", tick->ask_price[0], scale);
    out = market_put_count(PUT(out, ",\"bid_size\":"), market_i32(tick->bid_quantity[0]));
    return market_put_count(PUT(out, ",\"ask_size\":"), market_i32(tick->ask_quantity[0]));
}

static inline uint8_t *market_put_side(uint8_t *out, const double *price, const uint32_t *quantity,
                                       const uint16_t *orders, const DecimalScale *scale) {
    *out++ = '[';
    for (int i = 0; i < DEPTH_LEVELS; i++) {
        uint8_t *const behind = decimal_put_price(PUT(out, "{\"price\":"), price[i], scale);
        out = behind ? PUT(behind, ",\"quantity\":") : PUT(out, "{\"quantity\":");
        out = decimal_put_unsigned(out, market_i32(quantity[i]));
        out = decimal_put_unsigned(PUT(out, ",\"orders\":"), orders[i]);
        out = PUT(out, "},");
    }
    out[-1] = ']';
    return out;
}

static inline uint8_t *market_put_copy(uint8_t *out, const uint8_t *from, const uint8_t *to) {
    memcpy(out, from, (size_t)(to - from));
    return out + (to - from);
}

/* The book, and both of its sides once more under the names that the Rust client knows. */
static inline uint8_t *market_put_depth(uint8_t *out, const TickC *tick, const DecimalScale *scale) {
    uint8_t *const buy = PUT(out, ",\"depth\":{\"buy\":");
    uint8_t *const buy_end = market_put_side(buy, tick->bid_price, tick->bid_quantity, tick->bid_orders, scale);
    uint8_t *const sell = PUT(buy_end, ",\"sell\":");
    uint8_t *const sell_end = market_put_side(sell, tick->ask_price, tick->ask_quantity, tick->ask_orders, scale);
    out = market_put_copy(PUT(sell_end, "},\"bids\":"), buy, buy_end);
    return market_put_copy(PUT(out, ",\"asks\":"), sell, sell_end);
}

/* ---- whole messages --------------------------------------------------------------------------- */

/* What of the record a message of this mode has. `mode`: 1 to 3; MARKET_FIELDS_MAX bytes are there. */
static inline uint8_t *market_put_fields(uint8_t *out, const TickC *tick, int mode) {
    const DecimalScale scale = market_scale(tick->instrument_token);
    const int full = tick->mode == MODE_FULL && !(tick->flags & FLAG_INDEX_LAYOUT);
    out = mode == MODE_LTP ? PUT(out, "ltp\"") : mode == MODE_QUOTE ? PUT(out, "quote\"") : PUT(out, "full\"");
    out = market_put_ltp(out, tick, &scale);
    if (mode == MODE_LTP || tick->mode == MODE_LTP) return out;
    out = market_put_ohlc(out, tick, &scale);
    if (!(tick->flags & FLAG_INDEX_LAYOUT)) out = market_put_volume(out, tick, &scale);
    if (full) out = market_put_best(out, tick, &scale);
    return full && mode == MODE_FULL ? market_put_depth(out, tick, &scale) : out;
}

/* The `data` object alone. */
static inline uint8_t *market_put_data(uint8_t *out, const TickC *tick, int mode, const MarketName *name) {
    out = market_put_copy(out, name->head + name->data_at, name->head + name->head_bytes);
    out = market_put_fields(out, tick, mode);
    *out++ = '}';
    return out;
}

/* The message; its data are the same bytes as those of market_put_data. */
static inline uint8_t *market_put_message(uint8_t *out, const TickC *tick, int mode, const MarketName *name) {
    memcpy(out, name->head, name->head_bytes);
    out[name->mode_at] = (uint8_t)('0' + mode);
    out = market_put_fields(out + name->head_bytes, tick, mode);
    return market_put_copy(out, name->tail, name->tail + name->tail_bytes);
}

/* Write the header of a final text frame right before its payload; return where the frame begins. */
static inline uint8_t *market_put_header(uint8_t *payload, size_t payload_bytes) {
    uint8_t *frame = payload - (payload_bytes < 126 ? 2 : 4);
    frame[0] = 0x81;
    frame[1] = payload_bytes < 126 ? (uint8_t)payload_bytes : 126;
    if (payload_bytes >= 126) {
        frame[2] = (uint8_t)(payload_bytes >> 8);
        frame[3] = (uint8_t)payload_bytes;
    }
    return frame;
}

#endif
