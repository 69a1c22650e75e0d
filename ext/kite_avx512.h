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
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("fma");
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

/* Take what the flags need out of the registers; returns the close. */
KITE_AVX512 ALWAYS_INLINE double kite_see_prices(TickSeen *seen, __m512d front, __m512d back) {
    __m128d last_average = _mm512_castpd512_pd128(front);
    __m128d open_high = _mm512_extractf64x2_pd(front, 1);
    __m128d low_close = _mm512_extractf64x2_pd(front, 2);
    __m128d bids = _mm512_extractf64x2_pd(front, 3);
    __m128d bid_ask = _mm512_extractf64x2_pd(back, 1); /* the fifth bid, the best ask */
    seen->last_price = _mm_cvtsd_f64(last_average);
    seen->open = _mm_cvtsd_f64(open_high);
    seen->high = _mm_cvtsd_f64(_mm_unpackhi_pd(open_high, open_high));
    seen->low = _mm_cvtsd_f64(low_close);
    seen->bid_price = _mm_cvtsd_f64(bids);
    seen->ask_price = _mm_cvtsd_f64(_mm_unpackhi_pd(bid_ask, bid_ask));
    return _mm_cvtsd_f64(_mm_unpackhi_pd(low_close, low_close));
}

/* A body's word in the pair of registers (middle, last); `last` begins at word 30. */
#define WORD_HIGH(word) ((word) < 32 ? (word) - 16 : (word) - 30 + 16)

/* As kite_write_full, and two more fields that the caller sets anew: packet index and connection. */
KITE_AVX512 ALWAYS_INLINE TickSeen kite_write_full_avx512(TickC *tick, const uint8_t *body, const KiteScale *scale) {
    const __m512i low_prices = _mm512_setr_epi32(1, 3, 7, 8, 9, 10, 17, 20, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m512i high_prices = _mm512_setr_epi32(
        WORD_HIGH(23), WORD_HIGH(26), WORD_HIGH(29), WORD_HIGH(32), WORD_HIGH(35), WORD_HIGH(38),
        WORD_HIGH(41), WORD_HIGH(44), 0, 0, 0, 0, 0, 0, 0, 0);
    const __m512i totals = _mm512_setr_epi32(4, 5, 6, 12, 13, 14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m512i quantities = _mm512_setr_epi32(
        WORD_HIGH(16), WORD_HIGH(19), WORD_HIGH(22), WORD_HIGH(25), WORD_HIGH(28), WORD_HIGH(31),
        WORD_HIGH(34), WORD_HIGH(37), WORD_HIGH(40), WORD_HIGH(43), 0, 0, 0, 0, 0, 0);
    const __m512i orders = _mm512_setr_epi32(
        0, 0, WORD_HIGH(18), WORD_HIGH(21), WORD_HIGH(24), WORD_HIGH(27), WORD_HIGH(30), WORD_HIGH(33),
        WORD_HIGH(36), WORD_HIGH(39), WORD_HIGH(42), WORD_HIGH(45), 0, 0, 0, 0);
    const __m512i first = kite_load_words(body);
    const __m512i middle = kite_load_words(body + 64);
    const __m512i last = kite_load_words(body + KITE_FULL_SIZE - 64);

    __m256i front = _mm512_castsi512_si256(_mm512_permutex2var_epi32(first, low_prices, middle));
    __m256i back = _mm512_castsi512_si256(_mm512_permutex2var_epi32(middle, high_prices, last));
    __m512d front_prices = kite_divide(front, scale), back_prices = kite_divide(back, scale);
    _mm512_storeu_pd(&tick->last_price, front_prices);
    _mm512_storeu_pd(&tick->last_price + 8, back_prices);

    __m256i six = _mm512_castsi512_si256(_mm512_permutexvar_epi32(totals, first));
    _mm512_mask_storeu_epi64(&tick->volume_traded, 0x3f, _mm512_cvtepu32_epi64(six));
    _mm512_mask_storeu_epi32(tick->bid_quantity, 0x3ff, _mm512_permutex2var_epi32(middle, quantities, last));

    /* From packet_index to the padding: two for the caller, the orders, the mode, zeros. */
    __m512i halves = _mm512_srli_epi32(_mm512_permutex2var_epi32(middle, orders, last), 16);
    halves = _mm512_mask_mov_epi32(_mm512_maskz_set1_epi32(1 << 12, MODE_FULL), 0xffc, halves);
    _mm256_storeu_si256((__m256i *)(void *)&tick->packet_index, _mm512_cvtepi32_epi16(halves));

    TickSeen seen;
    kite_see_full(&seen, body);
    double close = kite_see_prices(&seen, front_prices, back_prices);
    tick->change = kite_change(seen.last_price, close);
    tick->last_traded_quantity = read_be32(body + KITE_LAST_QUANTITY_OFFSET);
    tick->last_trade_ts_ns = seen.last_trade_ts_ns;
    tick->exchange_ts_ns = seen.exchange_ts_ns;
    return seen;
}

#endif
#endif
