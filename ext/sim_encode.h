/* The simulated exchange's encoder: native words to Kite's big-endian packets and WebSocket frames.
 *
 * Wire facts: Kite Connect v3 documentation, WebSocket streaming, packet structures; RFC 6455
 * section 5.2 for the frame header. Nothing here is shared with the decoders: a mistake made on
 * one side must not be made on the other too.
 *
 * Every field of a packet is 32 bits wide, but for the 16-bit order counts of the depth, which
 * are followed by 16 bits of padding. So a packet in memory is its image in native words:
 *
 *   word   0      1           2         3        4       5        6         7     8     9    10
 *          token  last_price  last_qty  average  volume  buy_qty  sell_qty  open  high  low  close
 *         11               12  13       14      15                  16 ...
 *          last_trade_time  oi  oi_high  oi_low  exchange_timestamp  10 x (quantity, price, orders << 16)
 *
 *   index  0 token, 1 last_price, 2 high, 3 low, 4 open, 5 close, 6 change, 7 exchange_timestamp
 */
#ifndef PIPELINE_SIM_ENCODE_H
#define PIPELINE_SIM_ENCODE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { SIM_MODE_LTP = 1, SIM_MODE_QUOTE = 2, SIM_MODE_FULL = 3 };

enum {
    SIM_LTP_WORDS = 2,
    SIM_INDEX_QUOTE_WORDS = 7,
    SIM_INDEX_FULL_WORDS = 8,
    SIM_QUOTE_WORDS = 11,
    SIM_FULL_WORDS = 46
};

enum {
    SIM_TOKEN = 0, SIM_LAST_PRICE = 1, SIM_LAST_QUANTITY = 2, SIM_AVERAGE_PRICE = 3, SIM_VOLUME = 4,
    SIM_BUY_QUANTITY = 5, SIM_SELL_QUANTITY = 6, SIM_OPEN = 7, SIM_HIGH = 8, SIM_LOW = 9, SIM_CLOSE = 10,
    SIM_LAST_TRADE_TIME = 11, SIM_OI = 12, SIM_OI_HIGH = 13, SIM_OI_LOW = 14, SIM_EXCHANGE_TIME = 15,
    SIM_DEPTH = 16, SIM_DEPTH_STRIDE = 3, SIM_DEPTH_ENTRIES = 10,
    SIM_INDEX_HIGH = 2, SIM_INDEX_LOW = 3, SIM_INDEX_OPEN = 4, SIM_INDEX_CLOSE = 5, SIM_INDEX_CHANGE = 6,
    SIM_INDEX_EXCHANGE_TIME = 7
};

/* ltp packets and index packets have no volume: their sequence lies in these bits of last_price. */
#define SIM_SEQUENCE_MASK 0xfffu

#define SIM_FRAME_HEADER_MAX 10

static inline void sim_put16(uint8_t *at, uint32_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static inline void sim_put32(uint8_t *at, uint32_t value) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    value = __builtin_bswap32(value);
#endif
    memcpy(at, &value, sizeof value);
}

static inline void sim_put_words(uint8_t *restrict at, const uint32_t *restrict words, size_t count) {
    for (size_t i = 0; i < count; i++)
        sim_put32(at + 4 * i, words[i]);
}

#if defined(__x86_64__)
#include <immintrin.h>

/* The full packet is most of the load; 46 words are five vectors and one that overlaps. */
__attribute__((target("avx2"))) static void sim_put_full_avx2(uint8_t *restrict at,
                                                              const uint32_t *restrict words) {
    const __m256i order = _mm256_setr_epi8(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12, 3, 2, 1, 0, 7, 6,
                                           5, 4, 11, 10, 9, 8, 15, 14, 13, 12);
    for (int i = 0; i < 5; i++) {
        __m256i native = _mm256_loadu_si256((const __m256i *)(const void *)(words + 8 * i));
        _mm256_storeu_si256((__m256i *)(void *)(at + 32 * i), _mm256_shuffle_epi8(native, order));
    }
    __m256i last = _mm256_loadu_si256((const __m256i *)(const void *)(words + SIM_FULL_WORDS - 8));
    _mm256_storeu_si256((__m256i *)(void *)(at + 4 * (SIM_FULL_WORDS - 8)), _mm256_shuffle_epi8(last, order));
}

static inline int sim_has_avx2(void) { return __builtin_cpu_supports("avx2"); }
#else
static inline void sim_put_full_avx2(uint8_t *at, const uint32_t *words) {
    sim_put_words(at, words, SIM_FULL_WORDS);
}
static inline int sim_has_avx2(void) { return 0; }
#endif

/* How many words a packet has; 0 for a mode that does not exist. */
static inline uint32_t sim_packet_words(int mode, int is_index) {
    switch (mode) {
    case SIM_MODE_LTP: return SIM_LTP_WORDS;
    case SIM_MODE_QUOTE: return is_index ? SIM_INDEX_QUOTE_WORDS : SIM_QUOTE_WORDS;
    case SIM_MODE_FULL: return is_index ? SIM_INDEX_FULL_WORDS : SIM_FULL_WORDS;
    default: return 0;
    }
}

static inline size_t sim_frame_header_size(size_t payload) {
    return payload < 126 ? 2 : payload < 65536 ? 4 : 10;
}

/* An unmasked, unfragmented frame's header: a server never masks. Returns its size. */
static inline size_t sim_put_frame_header(uint8_t *at, uint8_t opcode, size_t payload) {
    at[0] = (uint8_t)(0x80u | opcode);
    if (payload < 126) {
        at[1] = (uint8_t)payload;
        return 2;
    }
    if (payload < 65536) {
        at[1] = 126;
        sim_put16(at + 2, (uint32_t)payload);
        return 4;
    }
    at[1] = 127;
    sim_put32(at + 2, (uint32_t)((uint64_t)payload >> 32));
    sim_put32(at + 6, (uint32_t)payload);
    return 10;
}

#endif
