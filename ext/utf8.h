/* Incremental UTF-8 validation, strict: no overlong form, no surrogate, nothing above U+10FFFF.
 *
 * Fails at the first byte that cannot be continued to a valid text, so that a long message is
 * refused early. Rules: The Unicode Standard, chapter 3, table 3-7 (well-formed byte sequences).
 */
#ifndef PIPELINE_UTF8_H
#define PIPELINE_UTF8_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    uint8_t needed;   /* continuation bytes still to come */
    uint8_t lowest;   /* bounds of the next continuation byte */
    uint8_t highest;
} utf8_state;

static inline utf8_state utf8_start(void) { return (utf8_state){0, 0x80, 0xBF}; }

/* True if the bytes so far end at a character's end. */
static inline int utf8_complete(const utf8_state *state) { return state->needed == 0; }

static inline int utf8_lead(utf8_state *state, uint8_t byte) {
    state->lowest = 0x80;
    state->highest = 0xBF;
    if (byte < 0x80) return 1;
    if (byte < 0xC2 || byte > 0xF4) return 0;
    if (byte < 0xE0) {
        state->needed = 1;
    } else if (byte < 0xF0) {
        state->needed = 2;
        if (byte == 0xE0) state->lowest = 0xA0;
        if (byte == 0xED) state->highest = 0x9F;
    } else {
        state->needed = 3;
        if (byte == 0xF0) state->lowest = 0x90;
        if (byte == 0xF4) state->highest = 0x8F;
    }
    return 1;
}

/* Take `length` more bytes; 0 as soon as they cannot be part of a valid text. */
static inline int utf8_feed(utf8_state *state, const uint8_t *bytes, size_t length) {
    size_t i = 0;
    while (i < length) {
        if (state->needed == 0) {
            uint64_t word;
            while (i + 8 <= length && (memcpy(&word, bytes + i, 8), !(word & 0x8080808080808080ull))) i += 8;
            if (i == length) return 1;
            if (!utf8_lead(state, bytes[i++])) return 0;
            continue;
        }
        uint8_t byte = bytes[i++];
        if (byte < state->lowest || byte > state->highest) return 0;
        state->lowest = 0x80;
        state->highest = 0xBF;
        state->needed--;
    }
    return 1;
}

#endif
