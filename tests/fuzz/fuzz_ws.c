/* libFuzzer target of ext/ws.h: any bytes, cut anywhere, on exactly sized heap buffers.
 *
 * The input's first byte seeds the cuts. Whatever the cuts, the messages and the verdict must be
 * those of whole delivery; the sanitizers watch every access. Built by test_fuzz_ws.py.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "ws.h"

enum { MESSAGE_MAX = 300, READ_MAX = 64, FRAGMENTS_MAX = 5 };

typedef struct {
    uint64_t digest;   /* of opcodes, lengths and payloads, in order */
    uint64_t messages;
    uint16_t close_code;
    uint8_t closed;
} outcome;

static void note(outcome *seen, const ws_message *message) {
    uint64_t digest = seen->digest;
    digest = (digest ^ message->opcode) * 1099511628211u;
    digest = (digest ^ message->length) * 1099511628211u;
    for (size_t i = 0; i < message->length; i++) digest = (digest ^ message->payload[i]) * 1099511628211u;
    seen->digest = digest;
    seen->messages++;
    if (message->length > MESSAGE_MAX) abort();
    if (message->opcode >= WS_CLOSE && message->length > WS_CONTROL_MAX) abort();
}

/* `seed` 0 reads as much as fits each time; else between 1 and READ_MAX bytes. */
static outcome deliver(const uint8_t *data, size_t size, uint32_t seed) {
    size_t capacity = ws_buffer_bytes(MESSAGE_MAX, READ_MAX);
    uint8_t *buffer = malloc(capacity), *joined = malloc(MESSAGE_MAX);
    outcome seen = {0};
    ws_parser parser;
    ws_message message;
    int result = WS_NEED_MORE;
    ws_init(&parser, buffer, capacity, joined, MESSAGE_MAX, FRAGMENTS_MAX);
    while (size && result != WS_FAILED) {
        size_t room = ws_make_room(&parser), wanted = READ_MAX;
        if (room < READ_MAX) abort();
        if (seed) {
            seed = seed * 1664525u + 1013904223u;
            wanted = 1 + (seed >> 16) % READ_MAX;
        }
        if (wanted > size) wanted = size;
        memcpy(parser.buffer + parser.end, data, wanted);
        parser.end += wanted;
        data += wanted;
        size -= wanted;
        while ((result = ws_next(&parser, &message)) == WS_GOT_MESSAGE) note(&seen, &message);
    }
    seen.close_code = parser.close_code;
    seen.closed = parser.closed;
    free(buffer);
    free(joined);
    return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    outcome whole = deliver(data + 1, size - 1, 0);
    outcome cut = deliver(data + 1, size - 1, 1u + data[0]);
    if (whole.digest != cut.digest || whole.messages != cut.messages || whole.close_code != cut.close_code ||
        whole.closed != cut.closed) {
        fprintf(stderr, "cuts change the outcome: %llu/%llu messages, codes %d/%d\n",
                (unsigned long long)whole.messages, (unsigned long long)cut.messages, whole.close_code,
                cut.close_code);
        abort();
    }
    return 0;
}
