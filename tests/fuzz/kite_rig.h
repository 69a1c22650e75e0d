/* A decoder on small private buffers, whose results are checked after every frame.
 *
 * Each frame is copied into a heap block of exactly its length, and the destination ring into one
 * of exactly its capacity, so that the sanitizers see the first byte read or written beside them.
 */
#ifndef TESTS_KITE_RIG_H
#define TESTS_KITE_RIG_H

#include <stdio.h>

#include "decode_kite.h"

#define RIG_SLOTS 8u
#define RIG_CHECK(condition)                                                        \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);         \
            abort();                                                                \
        }                                                                           \
    } while (0)

typedef struct {
    DecodeUnit unit;
    DecodeCountersC counters;
    TokenMap tokens;
    TickBase bases[RIG_SLOTS];
    Overlap overlaps[RIG_SLOTS];
    LatestSlotC latest[RIG_SLOTS];
    uint16_t connection;
    uint64_t ticks;
} KiteRig;

/* Tokens 1 to 8 << 8 | segment 1 are assigned when `strict`; otherwise all are accepted. */
static inline uint32_t rig_token(uint32_t i) { return (i + 1) << 8 | 1; }

static inline void rig_open(KiteRig *rig, uint64_t capacity, int strict, int portable) {
    AssignmentC rows[RIG_SLOTS];
    memset(rig, 0, sizeof *rig);
    memset(rows, 0, sizeof rows);
    for (uint32_t i = 0; i < RIG_SLOTS; i++) {
        rows[i].instrument_token = rig_token(i);
        rows[i].slot = i;
        rows[i].mode = MODE_FULL;
    }
    RIG_CHECK(token_map_init(&rig->tokens, RIG_SLOTS) == 0);
    RIG_CHECK(token_map_assign(&rig->tokens, rows, RIG_SLOTS, RIG_SLOTS, 0, 0) == 0);
    rig->unit.records = malloc(capacity * sizeof(TickC));
    RIG_CHECK(rig->unit.records != NULL);
    rig->unit.capacity = capacity;
    rig->unit.tokens = strict ? &rig->tokens : NULL;
    rig->unit.bases = strict ? rig->bases : NULL;
    rig->unit.counters = &rig->counters;
    rig->unit.portable = (uint32_t)portable;
}

/* Have every assigned instrument come from more than one connection: `connection` of each frame. */
static inline void rig_share(KiteRig *rig) {
    for (uint32_t i = 0; i < RIG_SLOTS; i++) rig->bases[i].mark = BASE_SHARED;
    rig->unit.overlaps = rig->overlaps;
    rig->unit.latest = rig->latest;
}

/* What a lane does once the unit is committed. */
static inline void rig_commit(KiteRig *rig, uint64_t first) {
    for (uint32_t i = 0; i < rig->unit.record_count; i++) {
        uint32_t slot = rig->unit.slots[i];
        if (slot == SLOT_NONE) continue;
        LatestSlotC *cell = &rig->latest[slot];
        cell->copy[++cell->head.version & 1] = rig->unit.records[(first + i) % rig->unit.capacity];
    }
}

static inline void rig_close(KiteRig *rig) {
    token_map_free(&rig->tokens);
    free(rig->unit.records);
}

static inline void rig_check_unit(const KiteRig *rig, enum DecodeStatus status) {
    const DecodeUnit *unit = &rig->unit;
    const DecodeCountersC *counters = &rig->counters;
    RIG_CHECK(unit->packet_count <= UNIT_RECORDS && unit->record_count <= unit->packet_count);
    RIG_CHECK(unit->record_count <= unit->capacity && unit->next_record < unit->capacity);
    RIG_CHECK(unit->packet_offset <= unit->frame_bytes || unit->packet_index == 0);
    RIG_CHECK(status != DECODE_MORE || unit->packet_count > 0);
    RIG_CHECK(counters->packets_in == counters->ticks_out + counters->packets_unknown_size +
                                          counters->packets_unassigned + counters->packets_unsubscribed +
                                          counters->packets_repeated);
    RIG_CHECK(unit->sighting_count <= unit->packet_count);
    for (uint32_t i = 0; i < unit->sighting_count; i++) RIG_CHECK(unit->sightings[i].slot < RIG_SLOTS);
    for (uint32_t i = 0; i < unit->record_count; i++)
        RIG_CHECK(unit->slots[i] < RIG_SLOTS || (unit->overlaps && unit->slots[i] == SLOT_NONE));
}

/* Decode a frame from a position to its end, unit by unit; return how it ended. */
static inline enum DecodeStatus rig_decode(KiteRig *rig, const uint8_t *data, size_t bytes,
                                           uint32_t packet_index, uint32_t packet_offset) {
    FrameStamp stamp = {1700000000ll * NS_PER_S, 5, 1, 1, rig->connection};
    uint8_t *frame = malloc(bytes ? bytes : 1);
    enum DecodeStatus status;
    RIG_CHECK(frame != NULL);
    if (bytes) memcpy(frame, data, bytes);
    decode_frame_begin(&rig->unit, bytes ? frame : frame + 1, bytes, stamp, packet_index, packet_offset);
    do {
        uint64_t first = rig->unit.next_record;
        decode_unit_begin(&rig->unit);
        status = decode_kite(&rig->unit);
        if (status == DECODE_UNKNOWN_TOKEN) {
            RIG_CHECK(rig->unit.assignment_current == 0);
            rig->unit.assignment_current = 1;
            status = decode_kite(&rig->unit);
        }
        RIG_CHECK(status != DECODE_UNKNOWN_TOKEN);
        rig_check_unit(rig, status);
        rig_commit(rig, first);
        rig->ticks += rig->unit.record_count;
    } while (status == DECODE_MORE);
    RIG_CHECK(rig->ticks == rig->counters.ticks_out);
    free(frame);
    return status;
}

#endif
