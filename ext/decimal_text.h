/* Numbers -> decimal text, as JSON has it. Floor 0, plain C11: no allocation, no locale, no libm.
 *
 * A double becomes the shortest text that reads back as the same double, the nearest to it if there
 * are several: what Python's `repr` finds, but always with a point and never with an exponent. A
 * price is first taken for what it was made of, an integer over a power of ten, which costs one
 * division; any other double goes through exact integer arithmetic.
 *
 * Writers take the place to write at and return the place behind. They store eight digits at once, so
 * that DECIMAL_TEXT_MAX bytes must be there whatever the text. What has no such text (NaN, an infinity,
 * 2^53 and more, below a tenth of a billionth) gives NULL, and nothing was written that counts.
 */
#ifndef PIPELINE_DECIMAL_TEXT_H
#define PIPELINE_DECIMAL_TEXT_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define DECIMAL_TEXT_MAX 40u     /* a sign, "0." and 27 places, and what is written behind them */
#define DECIMAL_PLACES_MAX 27
#define DECIMAL_SMALLEST 1e-10   /* its shortest text needs no more places than that */
#define DECIMAL_LIMIT 9007199254740992.0 /* 2^53: below it a double has places of its own */
#define DECIMAL_SAFE 1e15        /* 15 digits: below it no two decimals are the same double */

static const uint64_t POWERS_OF_TEN[20] = {
    1ull, 10ull, 100ull, 1000ull, 10000ull, 100000ull, 1000000ull, 10000000ull, 100000000ull, 1000000000ull,
    10000000000ull, 100000000000ull, 1000000000000ull, 10000000000000ull, 100000000000000ull,
    1000000000000000ull, 10000000000000000ull, 100000000000000000ull, 1000000000000000000ull,
    10000000000000000000ull,
};

#define TEN_8 100000000u

/* Eight digits of a value below 10^8 as bytes 0 to 9, the first digit in the lowest byte: halves,
 * then pairs, then digits are parted side by side in one word, by products that are exact for them. */
static inline uint64_t decimal_eight(uint32_t value) {
    const uint64_t halves = value / 10000 | (uint64_t)(value % 10000) << 32;
    const uint64_t hundreds = (halves * 10486 >> 20) & 0x0000007f0000007full;
    const uint64_t pairs = hundreds | (halves - 100 * hundreds) << 16;
    const uint64_t tens = (pairs * 103 >> 10) & 0x000f000f000f000full;
    return tens | (pairs - 10 * tens) << 8;
}

static inline uint8_t *decimal_store(uint8_t *out, uint64_t digits, int count) {
    digits |= 0x3030303030303030ull;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    digits = __builtin_bswap64(digits);
#endif
    memcpy(out, &digits, sizeof digits);
    return out + count;
}

/* Write a value below 10^count with `count` digits, from 1 on, zeros in front included. */
static inline uint8_t *decimal_put_padded(uint8_t *out, uint64_t value, int count) {
    if (count > 8) {
        out = decimal_put_padded(out, value / TEN_8, count - 8);
        return decimal_store(out, decimal_eight((uint32_t)(value % TEN_8)), 8);
    }
    return decimal_store(out, decimal_eight((uint32_t)value) >> 8 * (8 - count), count);
}

static inline uint8_t *decimal_put_unsigned(uint8_t *out, uint64_t value) {
    if (value >= TEN_8) {
        out = decimal_put_unsigned(out, value / TEN_8);
        return decimal_store(out, decimal_eight((uint32_t)(value % TEN_8)), 8);
    }
    const uint64_t digits = decimal_eight((uint32_t)value);
    const int zeros = __builtin_ctzll(digits | (uint64_t)1 << 56) >> 3; /* in front; the last digit stays */
    return decimal_store(out, digits >> 8 * zeros, 8 - zeros);
}

static inline uint8_t *decimal_put_signed(uint8_t *out, int64_t value) {
    *out = '-';
    return decimal_put_unsigned(out + (value < 0), value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

/* Write integer / 10^places, up to seven, with at least one place and no idle zero behind it. */
static inline uint8_t *decimal_put_units(uint8_t *out, uint64_t integer, int places) {
    const uint64_t unit = places == 2 ? 100 : POWERS_OF_TEN[places];
    const uint64_t whole = places == 2 ? integer / 100 : integer / unit;
    const uint64_t digits = decimal_eight((uint32_t)((integer - whole * unit) * POWERS_OF_TEN[8 - places]));
    out = decimal_put_unsigned(out, whole);
    *out++ = '.';
    return decimal_store(out, digits, 8 - (__builtin_clzll(digits | 1) >> 3));
}

/* Write integer / 10^places, with at least one place; the integer's last digit is no idle zero. */
static inline uint8_t *decimal_put_scaled(uint8_t *out, uint64_t integer, int places) {
    const uint64_t whole = places < 20 ? integer / POWERS_OF_TEN[places] : 0;
    out = decimal_put_unsigned(out, whole);
    *out++ = '.';
    *out = '0';
    if (places == 0) return out + 1;
    return decimal_put_padded(out, places < 20 ? integer % POWERS_OF_TEN[places] : integer, places);
}

/* ---- any double ------------------------------------------------------------------------------- */

static const uint64_t POWERS_OF_FIVE[DECIMAL_PLACES_MAX + 1] = {
    1ull, 5ull, 25ull, 125ull, 625ull, 3125ull, 15625ull, 78125ull, 390625ull, 1953125ull, 9765625ull, 48828125ull,
    244140625ull, 1220703125ull, 6103515625ull, 30517578125ull, 152587890625ull, 762939453125ull,
    3814697265625ull, 19073486328125ull, 95367431640625ull, 476837158203125ull, 2384185791015625ull,
    11920928955078125ull, 59604644775390625ull, 298023223876953125ull, 1490116119384765625ull,
    7450580596923828125ull,
};

/* What rounds to a double: the integers of [least, most] over 10^places, and the double between. */
typedef struct {
    unsigned __int128 middle;       /* 2^shift times the double times 10^places */
    uint64_t least;
    uint64_t most;
    int shift;
    int places;
} DecimalSpan;

/* mantissa * 2^exponent, of 53 bits and below 2^53, at a scale where it has 17 or 18 digits. */
static inline DecimalSpan decimal_span(uint64_t mantissa, int exponent) {
    /* 78913 / 2^18 is the logarithm of 2, so that the guess is right or one too low. */
    int places = 16 - ((exponent + 52) * 78913 >> 18);
    if (places > DECIMAL_PLACES_MAX) places = DECIMAL_PLACES_MAX;
    DecimalSpan span = {.shift = 2 - exponent - places, .places = places};
    const unsigned __int128 five = POWERS_OF_FIVE[places];
    const int below = mantissa == (uint64_t)1 << 52 ? 1 : 2; /* half the way to its neighbour, in quarters */
    span.middle = 4 * mantissa * five;
    /* Without the bounds: they are integers only beside a double that is one, and needs no place. */
    span.least = (uint64_t)((span.middle - below * five) >> span.shift) + 1;
    span.most = (uint64_t)((span.middle + 2 * five - 1) >> span.shift);
    return span;
}

/* The nearest integer to the double times 10^(places - dropped), within the bounds. */
static inline uint64_t decimal_nearest(const DecimalSpan *span, int dropped, uint64_t least, uint64_t most) {
    const uint64_t unit = POWERS_OF_TEN[dropped], whole = (uint64_t)(span->middle >> span->shift);
    const unsigned __int128 size = (unsigned __int128)unit << span->shift;
    uint64_t nearest = whole / unit;
    const unsigned __int128 twice = 2 * (span->middle - (unsigned __int128)nearest * size);
    if (twice > size || (twice == size && (nearest & 1))) nearest++;
    if (nearest < least) return least;
    return nearest > most ? most : nearest;
}

/* A positive, normal double from DECIMAL_SMALLEST to DECIMAL_LIMIT. */
static inline uint8_t *decimal_put_shortest(uint8_t *out, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    const DecimalSpan span = decimal_span((bits & (((uint64_t)1 << 52) - 1)) | (uint64_t)1 << 52, (int)(bits >> 52) - 1075);
    uint64_t least = span.least, most = span.most;
    int dropped = 0;
    while (dropped < span.places && (least + 9) / 10 <= most / 10) {
        least = (least + 9) / 10;
        most /= 10;
        dropped++;
    }
    return decimal_put_scaled(out, decimal_nearest(&span, dropped, least, most), span.places - dropped);
}

static inline uint8_t *decimal_put_double(uint8_t *out, double value) {
    const double size = fabs(value);
    if (size == 0) return decimal_put_scaled(out, 0, 0);
    if (!(size >= DECIMAL_SMALLEST && size < DECIMAL_LIMIT)) return NULL;
    *out = '-';
    return decimal_put_shortest(out + (value < 0), size);
}

/* ---- prices ------------------------------------------------------------------------------------ */

typedef struct {
    double divisor;                 /* 10^places */
    int places;
} DecimalScale;

/* 1 if price is an integer over the divisor, of at most 15 digits: then this is that integer. */
static inline int decimal_integer(double price, double divisor, int64_t *integer) {
    const double scaled = price * divisor;
    if (!(fabs(scaled) < DECIMAL_SAFE)) return 0;
    *integer = (int64_t)(scaled + (scaled < 0 ? -0.5 : 0.5));
    return (double)*integer / divisor == price;
}

static inline uint8_t *decimal_put_integer(uint8_t *out, int64_t integer, int places) {
    *out = '-';
    return decimal_put_units(out + (integer < 0), (uint64_t)(integer < 0 ? -integer : integer), places);
}

static inline uint8_t *decimal_put_price(uint8_t *out, double price, const DecimalScale *scale) {
    int64_t integer;
    if (decimal_integer(price, scale->divisor, &integer)) return decimal_put_integer(out, integer, scale->places);
    return decimal_put_double(out, price);
}

#endif
