/* The full packet in a dozen AVX-512 instructions, bit for bit as `kite_write_full`. Floor 0.
 *
 * Compiled in on x86-64 and chosen at run time, where the processor has it. A body's 46 words are
 * three registers, a record five lines, of which each is made in registers and stored once:
 *
 *   words 0-15 first, 16-31 middle, 30-45 last (they overlap by two, so none reads past the body)
 *   line 0        (four stamps, the caller's), two times, last, average
 *   line 1        open, high, low, close, four bids: "front"
 *   line 2        the fifth bid, five asks: "back", with last and average; change, volume
 *   line 3        five totals, token, last quantity, two bid quantities
 *   line 4        eight quantities, ten orders, mode and broker
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

/* What the stores below rely on: which fields share a line. */
_Static_assert(offsetof(TickC, exchange_ts_ns) == 32 && offsetof(TickC, last_trade_ts_ns) == 40, "half of line 0");
_Static_assert(offsetof(TickC, last_price) == 48 && offsetof(TickC, average_traded_price) == 56, "half of line 0");
_Static_assert(offsetof(TickC, open) == 64 && offsetof(TickC, bid_price) == 96, "line 1: 4 + 4 prices");
_Static_assert(offsetof(TickC, ask_price) == 136 && offsetof(TickC, change) == 176, "line 2: 6 prices, change, volume");
_Static_assert(offsetof(TickC, total_buy_quantity) == 192 && offsetof(TickC, oi_day_low) == 224, "line 3: 5 totals");
_Static_assert(offsetof(TickC, instrument_token) == 232 && offsetof(TickC, last_traded_quantity) == 244, "line 3");
_Static_assert(offsetof(TickC, bid_quantity) == 248 && offsetof(TickC, ask_quantity) == 268, "line 3: 2 levels; line 4: 8");
_Static_assert(offsetof(TickC, packet_index) == 288 && offsetof(TickC, bid_orders) == 292, "line 4");
_Static_assert(offsetof(TickC, ask_orders) == 302 && offsetof(TickC, mode) == 312, "line 4");
_Static_assert(offsetof(TickC, broker) == 313 && sizeof(TickC) == 320, "line 4");

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

/* A body's word in the pair of registers (middle, last), and its two halves; `last` begins at word 30. */
#define WORD_HIGH(word) ((word) < 32 ? (word) - 16 : (word) - 30 + 16)
#define HALF_HIGH(word) (2 * WORD_HIGH(word))
#define HALVES(word) HALF_HIGH(word), HALF_HIGH(word) + 1
#define ORDERS(word) (HALF_HIGH(word) + 1)

/* Volume and exchange time of a base lie side by side, as in the register that has them of a tick. */
_Static_assert(offsetof(TickBase, exchange_ts_ns) == offsetof(TickBase, volume_traded) + 8, "one pair");

/* Eight of the prices, as integers: open, high, low, close, the bids but the fifth. */
KITE_AVX512 ALWAYS_INLINE __m256i kite_front_prices(__m512i first, __m512i middle) {
    const __m512i words = _mm512_setr_epi32(7, 8, 9, 10, 17, 20, 23, 26, 0, 0, 0, 0, 0, 0, 0, 0);
    return _mm512_castsi512_si256(_mm512_permutex2var_epi32(first, words, middle));
}

/* The other eight: the fifth bid, the asks, last, average. */
KITE_AVX512 ALWAYS_INLINE __m256i kite_back_prices(__m512i first, __m512i middle, __m512i last) {
    const __m512i words = _mm512_setr_epi32(WORD_HIGH(29), WORD_HIGH(32), WORD_HIGH(35), WORD_HIGH(38), WORD_HIGH(41),
                                            WORD_HIGH(44), 1, 3, 0, 0, 0, 0, 0, 0, 0, 0);
    __m512i depth = _mm512_permutex2var_epi32(middle, words, last);
    return _mm512_castsi512_si256(_mm512_mask_permutexvar_epi32(depth, 0xc0, words, first));
}

/* Volume, exchange's and last trade's seconds, 0: four u64. */
KITE_AVX512 ALWAYS_INLINE __m256i kite_volume_and_seconds(__m512i first) {
    const __m512i words = _mm512_setr_epi32(4, 0, 15, 0, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    return _mm512_castsi512_si256(_mm512_maskz_permutexvar_epi32(0x15, words, first));
}

/* Line 3: five totals, the token, two words that are the caller's, last and two best bid quantities. */
KITE_AVX512 ALWAYS_INLINE __m512i kite_totals_line(__m512i first, __m512i middle) {
    const __m512i words = _mm512_setr_epi32(5, 0, 6, 0, 12, 0, 13, 0, 14, 0, 0, 0, 0, 2, 16, 19);
    return _mm512_mask2_permutex2var_epi32(first, words, 0xe555, middle);
}

/* Line 4: eight quantities, two halves that are the caller's, the orders, mode and broker, zeros. */
KITE_AVX512 ALWAYS_INLINE __m512i kite_depth_line(__m512i middle, __m512i last) {
    static const uint16_t halves[32] __attribute__((aligned(64))) = {
        HALVES(22), HALVES(25), HALVES(28), HALVES(31), HALVES(34), HALVES(37), HALVES(40), HALVES(43), 0, 0,
        ORDERS(18), ORDERS(21), ORDERS(24), ORDERS(27), ORDERS(30), ORDERS(33), ORDERS(36), ORDERS(39), ORDERS(42),
        ORDERS(45), MODE_FULL | BROKER_KITE << 8, 0, 0, 0};
    return _mm512_mask2_permutex2var_epi16(middle, _mm512_load_si512(halves), 0x0ffcffff, last);
}

/* A bit for each thing that the packet carries and that is in doubt, as kite_is_plain_full but for a
 * price of 0 or below. front, back: the 16 prices; seconds: as above. */
KITE_AVX512 ALWAYS_INLINE unsigned kite_doubts_avx512(__m256i front, __m256i back, __m256i seconds, uint32_t times_s) {
    enum { OPEN = 0, HIGH = 1, LOW = 2, BEST_BID = 4, BEST_ASK = 8 + 1 };
    const __m256i values = _mm256_setr_epi32(OPEN, HIGH, BEST_ASK, 0, 0, 0, 0, 0);
    const __m256i floors = _mm256_setr_epi32(LOW, OPEN, BEST_BID, 0, 0, 0, 0, 0);
    const __m256i earliest = _mm256_setr_epi64x(0, YEAR_2000_S, YEAR_2000_S, 0);
    const __m256i beyond = _mm256_set1_epi64x(times_s);
    __mmask8 prices = _mm256_cmplt_epi32_mask(_mm256_permutex2var_epi32(front, values, back),
                                              _mm256_permutex2var_epi32(front, floors, back));
    return prices | _mm256_mask_cmpge_epu64_mask(0x6, _mm256_sub_epi64(seconds, earliest), beyond);
}

/* As kite_doubt, out of the registers: the record was just written with wide
 * stores, and reading it back would wait for them. */
KITE_AVX512 ALWAYS_INLINE uint32_t kite_doubt_avx512(const uint8_t *body, __m512d front, __m512d back, __m256i times,
                                                     uint64_t key, int64_t receive_ts_ns, TickBase *base) {
    __m128d open_high = _mm512_castpd512_pd128(front), bid_ask = _mm512_castpd512_pd128(back);
    __m128i volume_time = _mm256_castsi256_si128(times);
    TickSeen seen = {.last_price = _mm_cvtsd_f64(_mm512_extractf64x2_pd(back, 3)),
                     .open = _mm_cvtsd_f64(open_high),
                     .high = _mm_cvtsd_f64(_mm_unpackhi_pd(open_high, open_high)),
                     .low = _mm_cvtsd_f64(_mm512_extractf64x2_pd(front, 1)),
                     .bid_price = _mm_cvtsd_f64(_mm512_extractf64x2_pd(front, 2)),
                     .ask_price = _mm_cvtsd_f64(_mm_unpackhi_pd(bid_ask, bid_ask)),
                     .volume_traded = (uint64_t)_mm_cvtsi128_si64(volume_time),
                     .exchange_ts_ns = _mm_extract_epi64(volume_time, 1),
                     .last_trade_ts_ns = _mm_cvtsi128_si64(_mm256_extracti128_si256(times, 1)),
                     .bid_quantity = read_be32(body + KITE_BIDS_OFFSET),
                     .ask_quantity = read_be32(body + KITE_ASKS_OFFSET)};
    return tick_flags_of_any(&seen, key, receive_ts_ns, base, KITE_CARRIES_FULL);
}

/* As kite_write_full, and four more fields that the caller sets anew: token, flags, packet index and
 * connection. */
KITE_AVX512 ALWAYS_INLINE uint32_t kite_write_full_avx512(TickC *tick, const uint8_t *body, const KiteScale *scale,
                                                          uint32_t token, KiteNow now, TickBase *base) {
    const __m256i per_unit = _mm256_setr_epi64x(1, NS_PER_S, NS_PER_S, 0);
    const uint64_t key = now.base_mark | token;
    uint8_t *record = (uint8_t *)tick;
    const __m512i first = kite_load_words(body);
    const __m512i middle = kite_load_words(body + 64);
    const __m512i last = kite_load_words(body + KITE_FULL_SIZE - 64);

    __m256i front = kite_front_prices(first, middle), back = kite_back_prices(first, middle, last);
    __m512d front_prices = kite_divide(front, scale), back_prices = kite_divide(back, scale);
    __m256i seconds = kite_volume_and_seconds(first);
    __m256i times = _mm256_mul_epu32(seconds, per_unit); /* volume, exchange's time, last trade's */
    __m128i volume_time = _mm256_castsi256_si128(times);
    __m256d back_high = _mm512_extractf64x4_pd(back_prices, 1); /* two asks, last, average */
    double last_price = _mm_cvtsd_f64(_mm256_extractf128_pd(back_high, 1));
    __m128d low_close = _mm256_extractf128_pd(_mm512_castpd512_pd256(front_prices), 1);
    double change = kite_change(last_price, _mm_cvtsd_f64(_mm_unpackhi_pd(low_close, low_close)));
    __m128d change_volume = _mm_unpacklo_pd(_mm_set_sd(change), _mm_castsi128_pd(volume_time));

    /* Whole lines, in order: what lies across two costs twice, what is masked more. */
    _mm256_storeu_pd((double *)(void *)(record + 32),
                     _mm256_permutex2var_pd(_mm256_castsi256_pd(times), _mm256_setr_epi64x(1, 2, 6, 7), back_high));
    _mm512_storeu_pd(record + 64, front_prices);
    _mm256_storeu_pd((double *)(void *)(record + 128), _mm512_castpd512_pd256(back_prices));
    _mm256_storeu_pd((double *)(void *)(record + 160), _mm256_insertf128_pd(back_high, change_volume, 1));
    _mm512_storeu_si512(record + 192, kite_totals_line(first, middle));
    _mm512_storeu_si512(record + 256, kite_depth_line(middle, last));

    unsigned doubts = kite_doubts_avx512(front, back, seconds, now.times_s);
    if (!base) {
        if (__builtin_expect(!doubts && last_price > 0, 1)) return 0;
    } else {
        /* A price that stayed near one above 0 is above 0. */
        __m128i before = _mm_loadu_si128((const __m128i *)(const void *)&base->volume_traded);
        doubts |= _mm_cmplt_epi64_mask(volume_time, before);
        if (__builtin_expect(!doubts && tick_base_key(base) == key && kite_stayed(last_price, base->last_price), 1)) {
            base->last_price = last_price;
            _mm_storeu_si128((__m128i *)(void *)&base->volume_traded, volume_time);
            tick_base_set_key(base, key);
            return 0;
        }
    }
    return kite_doubt_avx512(body, front_prices, back_prices, times, key, now.receive_ts_ns, base);
}

#endif
#endif
