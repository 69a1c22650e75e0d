/* The full packet in a dozen AVX-512 instructions, bit for bit as `kite_write_full`. Floor 0.
 *
 * Compiled in on x86-64 and chosen at run time, where the processor has it. A body's 46 words are
 * three registers; the record's arrays lie so that each is one permutation of them:
 *
 *   words 0-15 first, 16-31 middle, 30-45 last (they overlap by two, so none reads past the body)
 *   16 prices     last, average, open, high, low, close, 5 bids, 5 asks      -> 16 doubles
 *   6 quantities  volume, total buy, total sell, oi, oi high, oi low         -> 6 x u64
 *   10 quantities and 10 orders of the depth                                 -> 10 x u32, 10 x u16
 *
 * A price is divided exactly without a division: q = x r, then q + r (x - q d), both fused. With
 * r = 1 / d rounded this is x / d correctly rounded for every 32-bit x and d of 1e2, 1e4, 1e7,
 * which `tests/ext/test_kite_division.py` tries one by one.
 */
#ifndef PIPELINE_KITE_AVX512_H
#define PIPELINE_KITE_AVX512_H

#if defined(__x86_64__) && defined(__GNUC__)
#define KITE_HAS_AVX512 1

#include <immintrin.h>

#include "kite_body.h"

#define KITE_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma")))

/* What the stores below rely on. */
_Static_assert(offsetof(TickC, bid_price) == offsetof(TickC, last_price) + 6 * sizeof(double), "16 prices");
_Static_assert(offsetof(TickC, ask_price) == offsetof(TickC, bid_price) + 5 * sizeof(double), "16 prices");
_Static_assert(offsetof(TickC, oi_day_low) == offsetof(TickC, volume_traded) + 5 * sizeof(uint64_t), "6 totals");
_Static_assert(offsetof(TickC, ask_quantity) == offsetof(TickC, bid_quantity) + 5 * sizeof(uint32_t), "10 levels");
_Static_assert(offsetof(TickC, bid_orders) == offsetof(TickC, packet_index) + 2 * sizeof(uint16_t), "16 halves");
_Static_assert(offsetof(TickC, ask_orders) == offsetof(TickC, bid_orders) + 5 * sizeof(uint16_t), "16 halves");
_Static_assert(offsetof(TickC, mode) == offsetof(TickC, packet_index) + 12 * sizeof(uint16_t), "16 halves");
_Static_assert(sizeof(TickC) == offsetof(TickC, packet_index) + 16 * sizeof(uint16_t), "16 halves");

static inline int kite_cpu_has_avx512(void) {
    static int answer = -1; /* asked once: for a frame of one packet it would count */
    int known = __atomic_load_n(&answer, __ATOMIC_RELAXED);
    if (__builtin_expect(known >= 0, 1)) return known;
    known = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("fma");
    __atomic_store_n(&answer, known, __ATOMIC_RELAXED);
    return known;
}

/* Sixteen big-endian words. */
KITE_AVX512 ALWAYS_INLINE __m512i kite_load_words(const uint8_t *bytes) {
    const __m512i swap = _mm512_broadcast_i32x4(_mm_set_epi32(0x0c0d0e0f, 0x08090a0b, 0x04050607, 0x00010203));
    return _mm512_shuffle_epi8(_mm512_loadu_si512(bytes), swap);
}

/* Eight signed integers divided by the segment's divisor, exactly. */
KITE_AVX512 ALWAYS_INLINE __m512d kite_divide(__m256i integers, const KiteScale *scale) {
    const __m512d divisor = _mm512_set1_pd(scale->divisor), reciprocal = _mm512_set1_pd(scale->reciprocal);
    __m512d dividend = _mm512_cvtepi32_pd(integers);
    __m512d quotient = _mm512_mul_pd(dividend, reciprocal);
    __m512d rest = _mm512_fnmadd_pd(quotient, divisor, dividend);
    return _mm512_fmadd_pd(rest, reciprocal, quotient);
}

/* A body's word in the pair of registers (middle, last); `last` begins at word 30. */
#define WORD_HIGH(word) ((word) < 32 ? (word) - 16 : (word) - 30 + 16)

/* Volume and exchange time of a tick, or of a base: in both they lie side by side. */
_Static_assert(offsetof(TickBase, exchange_ts_ns) == offsetof(TickBase, volume_traded) + 8, "one pair");
_Static_assert(offsetof(TickC, last_trade_ts_ns) == offsetof(TickC, exchange_ts_ns) + 8, "two times");

/* 1 if nothing that the packet carries is in doubt, as kite_is_plain_full: seven pairs of integers,
 * none of which may be below its partner. `first`: words 0 to 15; front, back: the 16 prices. */
KITE_AVX512 ALWAYS_INLINE int kite_is_plain_avx512(__m512i first, __m256i front, __m256i back, int32_t latest_s) {
    enum { ONE = 16, YEAR = 17, LATEST = 18, BEST_BID = 6, BEST_ASK = 3 };
    const __m512i bounds = _mm512_setr_epi32(1, YEAR_2000_S, latest_s, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m512i values = _mm512_setr_epi32(1, 7, 8, 15, 11, LATEST, LATEST, BEST_ASK, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m512i floors = _mm512_setr_epi32(ONE, 9, 7, YEAR, YEAR, 15, 11, BEST_BID, 0, 0, 0, 0, 0, 0, 0, 0);
    __m256i above = _mm512_castsi512_si256(_mm512_permutex2var_epi32(first, values, bounds));
    __m256i below = _mm512_castsi512_si256(_mm512_permutex2var_epi32(first, floors, bounds));
    above = _mm256_mask_permutexvar_epi32(above, 0x80, _mm512_castsi512_si256(values), back);
    below = _mm256_mask_permutexvar_epi32(below, 0x80, _mm512_castsi512_si256(floors), front);
    return _mm256_cmplt_epi32_mask(above, below) == 0;
}

/* As kite_doubt, out of the registers: the record was just written with wide
 * stores, and reading it back would wait for them. */
KITE_AVX512 ALWAYS_INLINE uint32_t kite_doubt_avx512(const uint8_t *body, __m512d front, __m512d back, __m128i times,
                                                     uint64_t key, int64_t receive_ts_ns, TickBase *base) {
    __m128d open_high = _mm512_extractf64x2_pd(front, 1);
    __m128d bid_ask = _mm512_extractf64x2_pd(back, 1); /* the fifth bid, the best ask */
    TickSeen seen = {.last_price = _mm_cvtsd_f64(_mm512_castpd512_pd128(front)),
                     .open = _mm_cvtsd_f64(open_high),
                     .high = _mm_cvtsd_f64(_mm_unpackhi_pd(open_high, open_high)),
                     .low = _mm_cvtsd_f64(_mm512_extractf64x2_pd(front, 2)),
                     .bid_price = _mm_cvtsd_f64(_mm512_extractf64x2_pd(front, 3)),
                     .ask_price = _mm_cvtsd_f64(_mm_unpackhi_pd(bid_ask, bid_ask)),
                     .volume_traded = read_be32(body + KITE_VOLUME_OFFSET),
                     .exchange_ts_ns = _mm_extract_epi64(times, 0),
                     .last_trade_ts_ns = _mm_extract_epi64(times, 1),
                     .bid_quantity = read_be32(body + KITE_BIDS_OFFSET),
                     .ask_quantity = read_be32(body + KITE_ASKS_OFFSET)};
    return tick_flags_of_any(&seen, key, receive_ts_ns, base, KITE_CARRIES_FULL);
}

/* As kite_write_full, and two more fields that the caller sets anew: packet index and connection. */
KITE_AVX512 ALWAYS_INLINE uint32_t kite_write_full_avx512(TickC *tick, const uint8_t *body, const KiteScale *scale,
                                                          uint32_t token, KiteNow now, TickBase *base) {
    const __m512i low_prices = _mm512_setr_epi32(1, 3, 7, 8, 9, 10, 17, 20, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m512i high_prices = _mm512_setr_epi32(
        WORD_HIGH(23), WORD_HIGH(26), WORD_HIGH(29), WORD_HIGH(32), WORD_HIGH(35), WORD_HIGH(38),
        WORD_HIGH(41), WORD_HIGH(44), 0, 0, 0, 0, 0, 0, 0, 0);
    const __m512i totals = _mm512_setr_epi32(4, 5, 6, 12, 13, 14, 15, 11, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m512i quantities = _mm512_setr_epi32(
        WORD_HIGH(16), WORD_HIGH(19), WORD_HIGH(22), WORD_HIGH(25), WORD_HIGH(28), WORD_HIGH(31),
        WORD_HIGH(34), WORD_HIGH(37), WORD_HIGH(40), WORD_HIGH(43), 0, 0, 0, 0, 0, 0);
    const __m512i orders = _mm512_setr_epi32(
        0, 0, WORD_HIGH(18), WORD_HIGH(21), WORD_HIGH(24), WORD_HIGH(27), WORD_HIGH(30), WORD_HIGH(33),
        WORD_HIGH(36), WORD_HIGH(39), WORD_HIGH(42), WORD_HIGH(45), 0, 0, 0, 0);
    const __m512i first = kite_load_words(body);
    const __m512i middle = kite_load_words(body + 64);
    const __m512i last = kite_load_words(body + KITE_FULL_SIZE - 64);
    const uint64_t key = now.base_mark | token;

    __m256i front = _mm512_castsi512_si256(_mm512_permutex2var_epi32(first, low_prices, middle));
    __m256i back = _mm512_castsi512_si256(_mm512_permutex2var_epi32(middle, high_prices, last));
    __m512d front_prices = kite_divide(front, scale), back_prices = kite_divide(back, scale);
    double last_price = _mm_cvtsd_f64(_mm512_castpd512_pd128(front_prices));
    __m128d low_close = _mm512_extractf64x2_pd(front_prices, 2);
    _mm512_storeu_pd(&tick->last_price, front_prices);
    _mm512_storeu_pd(&tick->last_price + 8, back_prices);
    tick->change = kite_change(last_price, _mm_cvtsd_f64(_mm_unpackhi_pd(low_close, low_close)));

    /* Six totals, and the exchange's and the last trade's seconds. */
    __m512i eight = _mm512_cvtepu32_epi64(_mm512_castsi512_si256(_mm512_permutexvar_epi32(totals, first)));
    __m128i times = _mm_mul_epu32(_mm512_extracti64x2_epi64(eight, 3), _mm_set1_epi64x(NS_PER_S));
    __m128i volume_time = _mm_unpacklo_epi64(_mm512_castsi512_si128(eight), times);
    _mm512_mask_storeu_epi64(&tick->volume_traded, 0x3f, eight);
    _mm_storeu_si128((__m128i *)(void *)&tick->exchange_ts_ns, times);
    _mm512_mask_storeu_epi32(tick->bid_quantity, 0x3ff, _mm512_permutex2var_epi32(middle, quantities, last));
    tick->last_traded_quantity = read_be32(body + KITE_LAST_QUANTITY_OFFSET);

    /* From packet_index to the padding: two for the caller, the orders, mode and broker, zeros. */
    __m512i halves = _mm512_srli_epi32(_mm512_permutex2var_epi32(middle, orders, last), 16);
    halves = _mm512_mask_mov_epi32(_mm512_maskz_set1_epi32(1 << 12, MODE_FULL | BROKER_KITE << 8), 0xffc, halves);
    _mm256_storeu_si256((__m256i *)(void *)&tick->packet_index, _mm512_cvtepi32_epi16(halves));

    int plain = kite_is_plain_avx512(first, front, back, now.latest_s);
    if (base) {
        __m128i before = _mm_loadu_si128((const __m128i *)(const void *)&base->volume_traded);
        plain &= _mm_cmplt_epi64_mask(volume_time, before) == 0 && tick_base_key(base) == key &&
                 kite_stayed(last_price, base->last_price);
    }
    if (__builtin_expect(!plain, 0))
        return kite_doubt_avx512(body, front_prices, back_prices, times, key, now.receive_ts_ns, base);
    if (!base) return 0;
    base->last_price = last_price;
    _mm_storeu_si128((__m128i *)(void *)&base->volume_traded, volume_time);
    tick_base_set_key(base, key);
    return 0;
}

#endif
#endif
