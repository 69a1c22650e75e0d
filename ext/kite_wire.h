/* Kite Connect v3 packets: sizes, offsets, divisors. Floor 0, plain C11.
 *
 * Wire facts: Kite Connect v3 documentation, "WebSocket streaming", sections "Message structure",
 * "Packet structure" and "Index packet structure"; divisors as kiteconnect 5.2.2 applies them.
 * Everything is big-endian.
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
#ifndef PIPELINE_KITE_WIRE_H
#define PIPELINE_KITE_WIRE_H

#include <stdint.h>

#include "layout.h"

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

/* What a packet's segment decides. */
typedef struct {
    double divisor;
    double reciprocal;              /* of the divisor, rounded: only for the exact vector division */
    uint32_t flags;                 /* FLAG_TRADABLE, but for indices, and KITE_UNKNOWN_SEGMENT */
} KiteScale;

/* Beside the flags of a tick, which none of them is: its segment is not documented. */
#define KITE_UNKNOWN_SEGMENT (1u << 29)

#define KITE_SCALE(divisor) {divisor, 1.0 / divisor, FLAG_TRADABLE}
#define KITE_UNKNOWN {1e2, 1.0 / 1e2, FLAG_TRADABLE | KITE_UNKNOWN_SEGMENT}

/* By segment; 0 stands for all that are above 15 too. */
static const KiteScale KITE_SCALES[16] = {
    KITE_UNKNOWN, KITE_SCALE(1e2), KITE_SCALE(1e2), KITE_SCALE(1e7),
    KITE_SCALE(1e2), KITE_SCALE(1e2), KITE_SCALE(1e4), KITE_SCALE(1e2),
    KITE_SCALE(1e2), {1e2, 1.0 / 1e2, 0}, KITE_UNKNOWN, KITE_UNKNOWN,
    KITE_SCALE(1e4), KITE_UNKNOWN, KITE_UNKNOWN, KITE_UNKNOWN,
};

static inline uint32_t kite_segment(uint32_t instrument_token) { return instrument_token & 0xff; }

static inline const KiteScale *kite_scale(uint32_t segment) { return &KITE_SCALES[segment < 16 ? segment : 0]; }

#endif
