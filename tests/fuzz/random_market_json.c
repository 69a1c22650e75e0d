/* Random records as market data messages, random doubles as text: random_market_json SEED RECORDS
 *
 * Needs no fuzzing engine, only a sanitizing compiler: all buffers lie on the heap and end where the
 * header's bounds say. Each message must be JSON and must be longest where the bounds are. Each double
 * must read back by strtod, and have as few digits as the C library needs to write it so that it does.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "market_json.h"

#define DOUBLES_PER_RECORD 4

static uint64_t random_state, longest_fields, left_out;

/* xorshift64*: small, seeded, the same everywhere. */
static uint64_t random_word(void) {
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 2685821657736338717ull;
}

static uint32_t random_below(uint32_t limit) { return (uint32_t)(random_word() >> 33) % limit; }

static void fail(const char *what, const uint8_t *text, size_t bytes) {
    fprintf(stderr, "%s: %.*s\n", what, (int)bytes, (const char *)text);
    exit(1);
}

/* ---- a strict reader of JSON: returns the place behind a value, or NULL ------------------------- */

static const char *read_value(const char *at);

static const char *read_string(const char *at) {
    if (*at++ != '"') return NULL;
    for (; *at != '"'; at++) {
        if ((unsigned char)*at < ' ' || (unsigned char)*at > '~') return NULL;
        if (*at == '\\' && !*++at) return NULL;
    }
    return at + 1;
}

/* Digits, without zeros in front; then, if there is a point, at least one more. */
static const char *read_number(const char *at) {
    if (*at == '-') at++;
    if (!isdigit((unsigned char)*at) || (at[0] == '0' && isdigit((unsigned char)at[1]))) return NULL;
    while (isdigit((unsigned char)*at)) at++;
    if (*at != '.') return at;
    if (!isdigit((unsigned char)*++at)) return NULL;
    while (isdigit((unsigned char)*at)) at++;
    return at;
}

static const char *read_list(const char *at, char end, int named) {
    do {
        at++;
        if (named && (!(at = read_string(at)) || *at++ != ':')) return NULL;
        if (!(at = read_value(at))) return NULL;
    } while (*at == ',');
    return *at == end ? at + 1 : NULL;
}

static const char *read_value(const char *at) {
    if (*at == '{') return read_list(at, '}', 1);
    if (*at == '[') return read_list(at, ']', 0);
    return *at == '"' ? read_string(at) : read_number(at);
}

static void must_be_json(const uint8_t *text, size_t bytes) {
    char *copy = malloc(bytes + 1);
    memcpy(copy, text, bytes);
    copy[bytes] = 0;
    if (read_value(copy) != copy + bytes) fail("no JSON", text, bytes);
    free(copy);
}

/* ---- records ------------------------------------------------------------------------------------ */

static double random_price(void) {
    switch (random_below(4)) {
    case 0: return (double)(int32_t)random_word() / 100;
    case 1: return (double)(int32_t)random_word() / 1e7;
    case 2: return (double)random_below(100000) / 10000;
    default: return -1.2345678901234567e-10; /* as long as a number can be */
    }
}

static void random_record(TickC *tick) {
    uint64_t *words = (uint64_t *)tick;
    for (size_t i = 0; i < sizeof *tick / 8; i++) words[i] = random_word();
    if (random_below(2)) { /* else prices of any bits */
        for (double *price = &tick->last_price; price <= &tick->change; price++) *price = random_price();
    }
    if (random_below(4)) tick->mode = (uint8_t)(1 + random_below(3));
    if (random_below(2)) tick->flags &= ~(uint32_t)FLAG_INDEX_LAYOUT;
}

static uint8_t *heap_copy(const char *text) {
    uint8_t *copy = malloc(strlen(text));
    memcpy(copy, text, strlen(text));
    return copy;
}

static void check_record(const MarketName *name, int mode) {
    TickC *tick = malloc(sizeof *tick);
    const size_t constant = name->head_bytes + name->tail_bytes;
    uint8_t *buffer = malloc(MARKET_HEADER_MAX + constant + MARKET_FIELDS_MAX), *payload = buffer + MARKET_HEADER_MAX;
    random_record(tick);
    uint8_t *end = market_put_message(payload, tick, mode, name);
    const size_t bytes = (size_t)(end - payload);
    must_be_json(payload, bytes);
    if (bytes - constant > longest_fields) longest_fields = bytes - constant;
    if (market_put_header(payload, bytes) != buffer || buffer[0] != 0x81 || buffer[1] != 126 ||
        (size_t)(buffer[2] << 8 | buffer[3]) != bytes)
        fail("header", buffer, 4);
    end = market_put_data(payload, tick, mode, name);
    must_be_json(payload, (size_t)(end - payload));
    free(buffer);
    free(tick);
}

static void check_records(uint32_t count) {
    static const char HEAD[] = "{\"type\":\"market_data\",\"symbol\":\"A\",\"exchange\":\"B\",\"mode\":0,\"data\":{"
                               "\"symbol\":\"A\",\"exchange\":\"B\",\"mode\":\"";
    static const char TAIL[] = "},\"broker\":\"C\"}";
    uint8_t *head = heap_copy(HEAD), *tail = heap_copy(TAIL);
    const MarketName name = {head, tail, sizeof HEAD - 1, sizeof TAIL - 1,
                             (uint32_t)(strstr(HEAD, "0,\"data\"") - HEAD), (uint32_t)(strstr(HEAD, "{\"symbol\"") - HEAD)};
    for (uint32_t i = 0; i < count; i++) check_record(&name, 1 + (int)random_below(3));
    free(head);
    free(tail);
}

/* ---- doubles ------------------------------------------------------------------------------------ */

static int significant(const char *text) {
    int digits = 0, zeros = 0;
    for (; *text && *text != 'e'; text++) {
        if (!isdigit((unsigned char)*text)) continue;
        if (*text != '0') {
            digits += 1 + (digits ? zeros : 0);
            zeros = 0;
        } else {
            zeros++;
        }
    }
    return digits;
}

static int fewest_digits(double value) {
    char text[64];
    for (int digits = 1; digits < 17; digits++) {
        snprintf(text, sizeof text, "%.*e", digits - 1, value);
        if (strtod(text, NULL) == value) return significant(text);
    }
    return 17;
}

static double random_double(void) {
    double value;
    uint64_t bits = random_word();
    switch (random_below(4)) {
    case 0: return (double)(int64_t)bits / 1024 / POWERS_OF_TEN[random_below(20)];
    case 1: return ((double)random_below(1000000) - 500000) * 100 / (1 + random_below(1000000));
    case 2: bits &= ~(((uint64_t)1 << 52) - 1); break; /* a power of two */
    default: break;
    }
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void check_double(double value) {
    uint8_t *buffer = malloc(DECIMAL_TEXT_MAX + 1);
    uint8_t *end = decimal_put_double(buffer, value);
    const int has_text = value == 0 || (fabs(value) >= DECIMAL_SMALLEST && fabs(value) < DECIMAL_LIMIT);
    if (!end != !has_text) fail("a text or none", buffer, 0);
    if (end) {
        if (end - buffer > (ptrdiff_t)DECIMAL_TEXT_MAX) fail("too long", buffer, (size_t)(end - buffer));
        *end = 0;
        must_be_json(buffer, (size_t)(end - buffer));
        if (!strchr((char *)buffer, '.') || strtod((char *)buffer, NULL) != value) fail("not exact", buffer, 40);
        if (significant((char *)buffer) > fewest_digits(value)) fail("not the shortest", buffer, 40);
    } else {
        left_out++;
    }
    free(buffer);
}

/* Each half of eight digits has all its values, beside different ones of the other half. */
static void check_eights(void) {
    uint8_t *buffer = malloc(8);
    for (uint32_t i = 0; i < 10000; i++) {
        char expected[16];
        const uint32_t value = i * 10000 + i * 7 % 10000;
        snprintf(expected, sizeof expected, "%08u", (unsigned)value);
        decimal_store(buffer, decimal_eight(value), 8);
        if (memcmp(buffer, expected, 8) != 0) fail("eight digits", buffer, 8);
    }
    free(buffer);
}

/* ---- headers ------------------------------------------------------------------------------------ */

static void check_headers(void) {
    uint8_t *buffer = malloc(MARKET_HEADER_MAX), *payload = buffer + MARKET_HEADER_MAX;
    for (size_t bytes = 0; bytes < 65536; bytes++) {
        uint8_t *frame = market_put_header(payload, bytes);
        const size_t told = frame[1] < 126 ? frame[1] : (size_t)(frame[2] << 8 | frame[3]);
        if (frame[0] != 0x81 || told != bytes || payload - frame != (bytes < 126 ? 2 : 4)) fail("header", frame, 0);
    }
    free(buffer);
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    random_state = strtoull(arguments[1], NULL, 10) * 2 + 1;
    const uint32_t records = (uint32_t)strtoul(arguments[2], NULL, 10);
    check_headers();
    check_eights();
    check_records(records);
    for (uint32_t i = 0; i < DOUBLES_PER_RECORD * records; i++) check_double(random_double());
    printf("records=%u longest_fields=%llu left_out=%llu\n", records, (unsigned long long)longest_fields,
           (unsigned long long)left_out);
    return 0;
}
