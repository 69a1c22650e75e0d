/* Kite Connect v3 frames -> tick records. Floor 0, plain C11: no Python, no allocation, no locks.
 *
 * Wire facts: Kite Connect v3 documentation, "WebSocket streaming", sections "Message structure",
 * "Packet structure" and "Index packet structure"; divisors as kiteconnect 5.2.2 applies them.
 * Everything is big-endian. `pipeline/brokers/kite/wire.py` is the readable twin.
 *
 *   frame   | count u16 | length u16 | body ... | length u16 | body ... |
 *
 *   body    0     4     8      12     16     20     24     28    32    36   40    44
 *   ltp     token last |
 *   index   token last  high   low    open   close  change |time |
 *   quote   token last  lastq  avg    volume buyq   sellq  open  high  low  close |
 *   full    ...quote... tradet oi     oihigh oilow  time   5 bids, 5 asks of 12 |
 *   level   | quantity u32 | price i32 | orders u16 | 2 unused |
 *
 * The length alone says which packet it is. Prices are signed, quantities and times are not; a
 * price is the integer divided by the segment's divisor, the double that Python would get.
 */
#ifndef PIPELINE_DECODE_KITE_H
#define PIPELINE_DECODE_KITE_H

#include "decode_unit.h"
#include "endian.h"

#define KITE_COUNT_BYTES 2u
#define KITE_LENGTH_BYTES 2u

enum KitePacketSize {
    KITE_LTP_SIZE = 8,
    KITE_INDEX_QUOTE_SIZE = 28,
    KITE_INDEX_FULL_SIZE = 32,
    KITE_QUOTE_SIZE = 44,
    KITE_FULL_SIZE = 184
};

enum KiteOffset {
    KITE_TOKEN_OFFSET = 0,
    KITE_LAST_PRICE_OFFSET = 4,
    KITE_INDEX_HIGH_OFFSET = 8,
    KITE_INDEX_LOW_OFFSET = 12,
    KITE_INDEX_OPEN_OFFSET = 16,
    KITE_INDEX_CLOSE_OFFSET = 20,
    KITE_INDEX_TIME_OFFSET = 28,
    KITE_LAST_QUANTITY_OFFSET = 8,
    KITE_AVERAGE_PRICE_OFFSET = 12,
    KITE_VOLUME_OFFSET = 16,
    KITE_BUY_QUANTITY_OFFSET = 20,
    KITE_SELL_QUANTITY_OFFSET = 24,
    KITE_OPEN_OFFSET = 28,
    KITE_HIGH_OFFSET = 32,
    KITE_LOW_OFFSET = 36,
    KITE_CLOSE_OFFSET = 40,
    KITE_TRADE_TIME_OFFSET = 44,
    KITE_OI_OFFSET = 48,
    KITE_OI_HIGH_OFFSET = 52,
    KITE_OI_LOW_OFFSET = 56,
    KITE_TIME_OFFSET = 60,
    KITE_BIDS_OFFSET = 64,
    KITE_ASKS_OFFSET = 124,
    KITE_LEVEL_BYTES = 12,
    KITE_LEVEL_PRICE_OFFSET = 4,
    KITE_LEVEL_ORDERS_OFFSET = 8
};

enum KiteSegment { KITE_CDS = 3, KITE_BCD = 6, KITE_INDICES = 9, KITE_NCO = 12 };

#define KITE_KNOWN_SEGMENTS 0x13feu /* bit s: segments 1 to 9 and 12 */

static inline uint32_t kite_segment(uint32_t instrument_token) { return instrument_token & 0xff; }

static inline double kite_divisor(uint32_t segment) {
    if (segment == KITE_CDS) return 1e7;
    if (segment == KITE_BCD || segment == KITE_NCO) return 1e4;
    return 1e2;
}

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

static inline unsigned kite_write_index(TickC *tick, const uint8_t *body, double divisor, uint32_t size) {
    tick->high = kite_price(body + KITE_INDEX_HIGH_OFFSET, divisor);
    tick->low = kite_price(body + KITE_INDEX_LOW_OFFSET, divisor);
    tick->open = kite_price(body + KITE_INDEX_OPEN_OFFSET, divisor);
    tick->close = kite_price(body + KITE_INDEX_CLOSE_OFFSET, divisor);
    tick->change = kite_change(tick->last_price, tick->close);
    tick->flags |= FLAG_INDEX_LAYOUT;
    tick->mode = MODE_QUOTE;
    if (size == KITE_INDEX_QUOTE_SIZE) return CARRIES_OHLC;
    tick->mode = MODE_FULL;
    tick->exchange_ts_ns = kite_time_ns(body + KITE_INDEX_TIME_OFFSET);
    return CARRIES_OHLC | CARRIES_EXCHANGE_TIME;
}

static inline unsigned kite_write_quote(TickC *tick, const uint8_t *body, double divisor) {
    tick->last_traded_quantity = read_be32(body + KITE_LAST_QUANTITY_OFFSET);
    tick->average_traded_price = kite_price(body + KITE_AVERAGE_PRICE_OFFSET, divisor);
    tick->volume_traded = read_be32(body + KITE_VOLUME_OFFSET);
    tick->total_buy_quantity = read_be32(body + KITE_BUY_QUANTITY_OFFSET);
    tick->total_sell_quantity = read_be32(body + KITE_SELL_QUANTITY_OFFSET);
    tick->open = kite_price(body + KITE_OPEN_OFFSET, divisor);
    tick->high = kite_price(body + KITE_HIGH_OFFSET, divisor);
    tick->low = kite_price(body + KITE_LOW_OFFSET, divisor);
    tick->close = kite_price(body + KITE_CLOSE_OFFSET, divisor);
    tick->change = kite_change(tick->last_price, tick->close);
    tick->mode = MODE_QUOTE;
    return CARRIES_OHLC | CARRIES_VOLUME;
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

static inline unsigned kite_write_full(TickC *tick, const uint8_t *body, double divisor) {
    unsigned carries = kite_write_quote(tick, body, divisor);
    tick->last_trade_ts_ns = kite_time_ns(body + KITE_TRADE_TIME_OFFSET);
    tick->oi = read_be32(body + KITE_OI_OFFSET);
    tick->oi_day_high = read_be32(body + KITE_OI_HIGH_OFFSET);
    tick->oi_day_low = read_be32(body + KITE_OI_LOW_OFFSET);
    tick->exchange_ts_ns = kite_time_ns(body + KITE_TIME_OFFSET);
    kite_write_side(body + KITE_BIDS_OFFSET, divisor, tick->bid_price, tick->bid_quantity, tick->bid_orders);
    kite_write_side(body + KITE_ASKS_OFFSET, divisor, tick->ask_price, tick->ask_quantity, tick->ask_orders);
    tick->mode = MODE_FULL;
    return carries | CARRIES_EXCHANGE_TIME | CARRIES_TRADE_TIME | CARRIES_DEPTH;
}

/* Everything that the packet's kind decides; returns what it carried. */
static inline unsigned kite_write_body(TickC *tick, const uint8_t *body, double divisor, uint32_t size) {
    tick->last_price = kite_price(body + KITE_LAST_PRICE_OFFSET, divisor);
    if (size == KITE_FULL_SIZE) return kite_write_full(tick, body, divisor);
    if (size == KITE_QUOTE_SIZE) return kite_write_quote(tick, body, divisor);
    if (size != KITE_LTP_SIZE) return kite_write_index(tick, body, divisor, size);
    tick->mode = MODE_LTP;
    return 0;
}

static inline int kite_is_known_size(uint32_t size) {
    return size == KITE_FULL_SIZE || size == KITE_QUOTE_SIZE || size == KITE_LTP_SIZE ||
           size == KITE_INDEX_FULL_SIZE || size == KITE_INDEX_QUOTE_SIZE;
}

/* Remarks on a delivered packet; its own function, so that the usual case stays one test. */
static inline void kite_count_segment(DecodeCountersC *counters, uint32_t segment, uint32_t size) {
    int index_size = size == KITE_INDEX_QUOTE_SIZE || size == KITE_INDEX_FULL_SIZE;
    if (size != KITE_LTP_SIZE && index_size != (segment == KITE_INDICES)) counters->packets_segment_mismatch++;
    if (segment > 31 || !(KITE_KNOWN_SEGMENTS >> segment & 1)) counters->packets_unknown_segment++;
}

/* Write one finished record. size is known; body holds that many bytes. */
static inline void kite_write_tick(DecodeUnit *unit, TickC *tick, const uint8_t *body, uint32_t size,
                                   uint32_t token, uint32_t packet_index, TickBase *base) {
    uint32_t segment = kite_segment(token);
    memset(tick, 0, sizeof *tick);
    tick->sequence = unit->next_sequence;
    tick->source_sequence = unit->stamp.source_sequence;
    tick->receive_ts_ns = unit->stamp.receive_ts_ns;
    tick->receive_mono_ns = unit->stamp.receive_mono_ns;
    tick->connection_epoch = unit->stamp.connection_epoch;
    tick->connection = unit->stamp.connection;
    tick->instrument_token = token;
    tick->packet_index = (uint16_t)packet_index;
    tick->broker = BROKER_KITE;
    tick->flags = segment == KITE_INDICES ? 0 : FLAG_TRADABLE;
    unsigned carries = kite_write_body(tick, body, kite_divisor(segment), size);
    tick->flags |= tick_flags(tick, base, carries);
    if (base) tick_base_set(base, tick);
    if (tick->flags & FLAGS_DOUBT) unit->counters->ticks_flagged++;
    kite_count_segment(unit->counters, segment, size);
}

/* Account for a packet that no one asked for. */
static inline void kite_drop_packet(DecodeUnit *unit, uint32_t token) {
    if (token_map_in_grace(unit->tokens, token, unit->stamp.receive_mono_ns))
        unit->counters->packets_unsubscribed++;
    else
        unit->counters->packets_unassigned++;
}

/* Deliver or drop one packet of a known size. Returns 0 if its token has to be looked up anew. */
static inline int kite_take_packet(DecodeUnit *unit, const uint8_t *body, uint32_t size) {
    uint32_t token = read_be32(body + KITE_TOKEN_OFFSET);
    uint32_t slot = 0;
    if (unit->tokens) {
        const TokenEntry *entry = token_map_find(unit->tokens, token);
        if (!entry && !unit->assignment_current) return 0;
        if (!entry) {
            kite_drop_packet(unit, token);
            return 1;
        }
        slot = entry->slot;
    }
    TickBase *base = unit->bases && unit->tokens ? &unit->bases[slot] : NULL;
    kite_write_tick(unit, &unit->records[unit->next_record], body, size, token, unit->packet_index, base);
    unit->slots[unit->record_count++] = slot;
    unit->next_sequence++;
    if (++unit->next_record == unit->capacity) unit->next_record = 0;
    unit->counters->ticks_out++;
    return 1;
}

/* The frame is finished, whatever is left of it. */
static inline enum DecodeStatus kite_end_frame(DecodeUnit *unit, uint32_t count, enum DecodeStatus status) {
    if (status == DECODE_SHORT) unit->counters->frames_short++;
    if (status == DECODE_TRAILING) unit->counters->frames_trailing++;
    unit->packet_index = count;
    unit->packet_offset = (uint32_t)unit->frame_bytes;
    return status;
}

/* 1 for a message without packets, which the server sends when there is nothing to say. */
static inline int kite_is_heartbeat(size_t frame_bytes) { return frame_bytes < KITE_COUNT_BYTES; }

/* Decode from the unit's position to the end of the frame or of the unit.
 *
 * Every complete packet before a fault is delivered. Every packet consumed is counted once:
 * packets_in = ticks_out + unknown_size + unassigned + unsubscribed.
 */
static inline enum DecodeStatus decode_kite(DecodeUnit *unit) {
    const size_t end = unit->frame_bytes;
    const uint32_t limit = decode_unit_limit(unit);
    if (kite_is_heartbeat(end)) return kite_end_frame(unit, 0, DECODE_HEARTBEAT);
    const uint32_t count = read_be16_once(unit->frame);
    if (unit->packet_index == 0) unit->packet_offset = KITE_COUNT_BYTES;
    if (unit->packet_offset < KITE_COUNT_BYTES || unit->packet_offset > end)
        return kite_end_frame(unit, count, DECODE_SHORT);

    while (unit->packet_index < count) {
        if (unit->packet_count == UNIT_RECORDS || unit->record_count == limit) return DECODE_MORE;
        size_t left = end - unit->packet_offset;
        if (left < KITE_LENGTH_BYTES) return kite_end_frame(unit, count, DECODE_SHORT);
        const uint8_t *packet = unit->frame + unit->packet_offset;
        const uint32_t size = read_be16_once(packet);
        if (left - KITE_LENGTH_BYTES < size) return kite_end_frame(unit, count, DECODE_SHORT);
        if (!kite_is_known_size(size)) unit->counters->packets_unknown_size++;
        else if (!kite_take_packet(unit, packet + KITE_LENGTH_BYTES, size)) return DECODE_UNKNOWN_TOKEN;
        unit->counters->packets_in++;
        unit->packet_count++;
        unit->packet_index++;
        unit->packet_offset += KITE_LENGTH_BYTES + size;
    }
    return kite_end_frame(unit, count, unit->packet_offset < end ? DECODE_TRAILING : DECODE_DONE);
}

#endif
