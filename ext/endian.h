/* Integers from unaligned bytes of either byte order. Floor 0, plain C11.
 *
 * The `_once` readers load their bytes exactly one time: for lengths and counts in memory that
 * another process may overwrite, where a second load could disagree with the check on the first.
 */
#ifndef PIPELINE_ENDIAN_H
#define PIPELINE_ENDIAN_H

#include <stdint.h>
#include <string.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "records in shared memory are little-endian; this host is not"
#endif

static inline uint16_t read_le16(const uint8_t *bytes) {
    uint16_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

static inline uint32_t read_le32(const uint8_t *bytes) {
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

static inline uint64_t read_le64(const uint8_t *bytes) {
    uint64_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

static inline uint16_t read_be16(const uint8_t *bytes) { return __builtin_bswap16(read_le16(bytes)); }
static inline uint32_t read_be32(const uint8_t *bytes) { return __builtin_bswap32(read_le32(bytes)); }
static inline uint64_t read_be64(const uint8_t *bytes) { return __builtin_bswap64(read_le64(bytes)); }

static inline uint16_t read_be16_once(const uint8_t *bytes) {
    const volatile uint8_t *b = bytes;
    uint16_t high = b[0];
    return (uint16_t)(high << 8 | b[1]);
}

static inline uint16_t read_le16_once(const uint8_t *bytes) {
    const volatile uint8_t *b = bytes;
    uint16_t low = b[0];
    return (uint16_t)(b[1] << 8 | low);
}

#endif
