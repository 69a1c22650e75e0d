/* A strict WebSocket client: frames in, complete messages out, in place.
 *
 * RFC 6455 sections 5 (framing, masking, fragmentation, control frames), 7 (closing) and 8.1
 * (UTF-8), without extensions. No sockets, clocks or allocation here: the caller owns one
 * contiguous receive buffer, reads into its free end and asks for messages until none is left.
 *
 *     buffer  | done | start: unparsed bytes | end: room for the next read | capacity
 *
 * A frame that is not fragmented is handed out where it lies (zero copy); fragments are joined in
 * a second buffer. A server's frame:
 *
 *      0               1               2 .. 3          2 .. 9
 *     +-+-+-+-+-------+-+-------------+---------------+---------------+
 *     |F|R|R|R| opcode|M|   length    | if 126: u16   | if 127: u64   |  payload
 *     +-+-+-+-+-------+-+-------------+---------------+---------------+
 *
 * Every rule is checked on the header's first byte that can break it, sizes before any payload is
 * waited for. A length that is not in its shortest form breaks section 5.2 ("the minimal number
 * of bytes MUST be used") and ends the connection like any other protocol error.
 */
#ifndef PIPELINE_WS_H
#define PIPELINE_WS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "utf8.h"

#define WS_HEADER_MAX 10u          /* of a server's frame: two bytes and a 64-bit length */
#define WS_CLIENT_HEADER_MAX 14u   /* and a mask */
#define WS_CONTROL_MAX 125u

enum WsOpcode {
    WS_CONTINUATION = 0x0,
    WS_TEXT = 0x1,
    WS_BINARY = 0x2,
    WS_CLOSE = 0x8,
    WS_PING = 0x9,
    WS_PONG = 0xA
};

enum WsCloseCode {
    WS_NO_CODE = 0,
    WS_NORMAL = 1000,
    WS_PROTOCOL_ERROR = 1002,
    WS_INVALID_TEXT = 1007,
    WS_POLICY = 1008,
    WS_TOO_BIG = 1009
};

enum WsResult {
    WS_FAILED = -1,     /* close_code and failure say why; the parser is at its end */
    WS_NEED_MORE = 0,
    WS_GOT_MESSAGE = 1  /* data message or control frame, see opcode */
};

typedef struct {
    const uint8_t *payload;  /* valid until the next read or message */
    size_t length;
    uint8_t opcode;          /* never WS_CONTINUATION */
} ws_message;

typedef struct {
    uint8_t *buffer;
    size_t capacity;
    size_t start;
    size_t end;
    uint8_t *joined;         /* fragments so far; message_bytes_max bytes */
    size_t joined_length;
    size_t message_bytes_max;
    size_t validated;        /* payload bytes of the frame under way that UTF-8 has seen */
    const char *failure;
    uint32_t fragments_max;
    uint32_t fragments;
    utf8_state utf8;
    uint16_t close_code;     /* to send, once failed */
    uint8_t fragmented;      /* opcode of the fragmented message under way, 0 = none */
    uint8_t closed;          /* a close frame was received: nothing follows it */
} ws_parser;

/* The receive buffer must hold a whole frame of the greatest message and still leave room to read
 * a useful chunk. */
static inline size_t ws_buffer_bytes(size_t message_bytes_max, size_t read_bytes_max) {
    return message_bytes_max + WS_HEADER_MAX + read_bytes_max;
}

static inline void ws_init(ws_parser *p, uint8_t *buffer, size_t capacity, uint8_t *joined,
                           size_t message_bytes_max, uint32_t fragments_max) {
    memset(p, 0, sizeof *p);
    p->buffer = buffer;
    p->capacity = capacity;
    p->joined = joined;
    p->message_bytes_max = message_bytes_max;
    p->fragments_max = fragments_max;
}

static inline int ws_fail(ws_parser *p, uint16_t close_code, const char *failure) {
    p->close_code = close_code;
    p->failure = failure;
    p->start = p->end = 0;
    return WS_FAILED;
}

/* Move the partial frame to the front; the room behind it is what may be read next. */
static inline size_t ws_make_room(ws_parser *p) {
    size_t partial = p->end - p->start;
    if (p->start) {
        memmove(p->buffer, p->buffer + p->start, partial);
        p->start = 0;
        p->end = partial;
    }
    return p->capacity - p->end;
}

typedef struct {
    uint64_t length;
    size_t size;             /* of the header */
    uint8_t opcode;
    uint8_t final;
} ws_header;

/* What the first byte may be, given the message under way. */
static inline const char *ws_first_byte_failure(const ws_parser *p, uint8_t byte) {
    uint8_t opcode = byte & 0x0F;
    if (byte & 0x70) return "reserved bit set";
    if ((opcode > WS_BINARY && opcode < WS_CLOSE) || opcode > WS_PONG) return "reserved opcode";
    if (opcode >= WS_CLOSE) return byte & 0x80 ? NULL : "fragmented control frame";
    if (opcode == WS_CONTINUATION) return p->fragmented ? NULL : "continuation of nothing";
    return p->fragmented ? "data frame inside a fragmented message" : NULL;
}

static inline const char *ws_second_byte_failure(uint8_t opcode, uint8_t byte) {
    if (byte & 0x80) return "masked server frame";
    if (opcode >= WS_CLOSE && (byte & 0x7F) > WS_CONTROL_MAX) return "control frame above 125 bytes";
    return NULL;
}

/* The length and its form; `header->size` is set. 0 if bytes are missing. */
static inline int ws_read_length(const uint8_t *bytes, size_t available, ws_header *header,
                                 const char **failure) {
    uint8_t short_length = bytes[1] & 0x7F;
    header->size = short_length < 126 ? 2 : short_length == 126 ? 4 : 10;
    header->length = short_length;
    if (short_length < 126) return 1;
    if (available < header->size) return 0;
    header->length = 0;
    for (size_t i = 2; i < header->size; i++) header->length = header->length << 8 | bytes[i];
    if (header->length >> 63) *failure = "top bit of a 64-bit length set";
    else if (header->length < (short_length == 126 ? 126u : 65536u)) *failure = "length not in its shortest form";
    return 1;
}

/* WS_GOT_MESSAGE: the header is whole and allowed. */
static inline int ws_read_header(ws_parser *p, ws_header *header) {
    const uint8_t *bytes = p->buffer + p->start;
    size_t available = p->end - p->start;
    const char *failure = NULL;
    if (!available) return WS_NEED_MORE;
    header->opcode = bytes[0] & 0x0F;
    header->final = bytes[0] >> 7;
    if ((failure = ws_first_byte_failure(p, bytes[0]))) return ws_fail(p, WS_PROTOCOL_ERROR, failure);
    if (available < 2) return WS_NEED_MORE;
    if ((failure = ws_second_byte_failure(header->opcode, bytes[1]))) return ws_fail(p, WS_PROTOCOL_ERROR, failure);
    if (!ws_read_length(bytes, available, header, &failure)) return WS_NEED_MORE;
    if (failure) return ws_fail(p, WS_PROTOCOL_ERROR, failure);
    if (header->opcode >= WS_CLOSE) return WS_GOT_MESSAGE;
    if (header->length > p->message_bytes_max - p->joined_length)
        return ws_fail(p, WS_TOO_BIG, "message above its size limit");
    if (p->fragments >= p->fragments_max) return ws_fail(p, WS_TOO_BIG, "message in too many fragments");
    return WS_GOT_MESSAGE;
}

/* Codes that an endpoint may put into a close frame: RFC 6455 section 7.4 and the registry's 1012
 * to 1014. */
static inline int ws_close_code_allowed(uint16_t code) {
    if (code >= 3000) return code < 5000;
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
}

static inline int ws_check_close(ws_parser *p, const uint8_t *payload, size_t length) {
    utf8_state utf8 = utf8_start();
    p->closed = 1;
    if (length == 0) return WS_GOT_MESSAGE;
    if (length == 1) return ws_fail(p, WS_PROTOCOL_ERROR, "close frame with half a code");
    if (!ws_close_code_allowed((uint16_t)(payload[0] << 8 | payload[1])))
        return ws_fail(p, WS_PROTOCOL_ERROR, "close code that may not be sent");
    if (!utf8_feed(&utf8, payload + 2, length - 2) || !utf8_complete(&utf8))
        return ws_fail(p, WS_INVALID_TEXT, "close reason is not UTF-8");
    return WS_GOT_MESSAGE;
}

/* Check the text bytes of the frame under way as they come, whole frame or not. */
static inline int ws_check_text(ws_parser *p, const ws_header *header, const uint8_t *payload, size_t here) {
    size_t known = here < header->length ? here : (size_t)header->length;
    if (header->opcode == WS_TEXT && p->validated == 0) p->utf8 = utf8_start();
    if (!utf8_feed(&p->utf8, payload + p->validated, known - p->validated))
        return ws_fail(p, WS_INVALID_TEXT, "text is not UTF-8");
    p->validated = known;
    if (known == header->length && header->final && !utf8_complete(&p->utf8))
        return ws_fail(p, WS_INVALID_TEXT, "text ends inside a character");
    return WS_GOT_MESSAGE;
}

/* One more fragment; WS_NEED_MORE unless it was the last. */
static inline int ws_join(ws_parser *p, const ws_header *header, const uint8_t *payload, ws_message *message) {
    if (header->opcode != WS_CONTINUATION) p->fragmented = header->opcode;
    memcpy(p->joined + p->joined_length, payload, (size_t)header->length);
    p->joined_length += (size_t)header->length;
    p->fragments++;
    if (!header->final) return WS_NEED_MORE;
    *message = (ws_message){p->joined, p->joined_length, p->fragmented};
    p->fragmented = 0;
    p->fragments = 0;
    p->joined_length = 0;
    return WS_GOT_MESSAGE;
}

/* The next message or control frame of the bytes in the buffer. The payload of a joined message
 * is valid until the next call, that of any other until the next read. */
static inline int ws_next(ws_parser *p, ws_message *message) {
    for (;;) {
        ws_header header;
        if (p->failure) return WS_FAILED;
        if (p->closed) return p->start = p->end = 0, WS_NEED_MORE;
        int result = ws_read_header(p, &header);
        if (result != WS_GOT_MESSAGE) return result;
        const uint8_t *payload = p->buffer + p->start + header.size;
        size_t here = p->end - p->start - header.size;
        if (header.opcode == WS_TEXT || (header.opcode == WS_CONTINUATION && p->fragmented == WS_TEXT)) {
            result = ws_check_text(p, &header, payload, here);
            if (result != WS_GOT_MESSAGE) return result;
        }
        if (here < header.length) return WS_NEED_MORE;
        p->start += header.size + (size_t)header.length;
        p->validated = 0;
        *message = (ws_message){payload, (size_t)header.length, header.opcode};
        if (header.opcode == WS_CLOSE) return ws_check_close(p, payload, message->length);
        if (header.opcode > WS_CLOSE) return WS_GOT_MESSAGE;
        if (header.final && !p->fragmented) return WS_GOT_MESSAGE;
        if (ws_join(p, &header, payload, message) == WS_GOT_MESSAGE) return WS_GOT_MESSAGE;
    }
}

/* ---- client frames ------------------------------------------------------------------------ */

/* Write one masked, unfragmented frame; returns its size. `frame` holds
 * WS_CLIENT_HEADER_MAX + length bytes. The mask must come from a strong source of randomness
 * (section 10.3). */
static inline size_t ws_encode(uint8_t *frame, uint8_t opcode, const uint8_t *payload, size_t length,
                               const uint8_t mask[4]) {
    size_t at = 0;
    frame[at++] = 0x80 | opcode;
    if (length < 126) {
        frame[at++] = 0x80 | (uint8_t)length;
    } else {
        int bytes = length < 65536 ? 2 : 8;
        frame[at++] = 0x80 | (bytes == 2 ? 126 : 127);
        while (bytes--) frame[at++] = (uint8_t)((uint64_t)length >> (8 * bytes));
    }
    memcpy(frame + at, mask, 4);
    at += 4;
    for (size_t i = 0; i < length; i++) frame[at + i] = payload[i] ^ mask[i & 3];
    return at + length;
}

#endif
