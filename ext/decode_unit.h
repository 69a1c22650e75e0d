/* The contract between a decoder process and a broker's frame decoder. Floor 0, plain C11.
 *
 * A unit is at most UNIT_RECORDS packets of one frame, and becomes visible by one commit. The
 * caller owns every buffer; a decoder only reads the frame, writes finished records into the
 * given slots, and moves the position. It never allocates, waits, or touches shared control words.
 *
 *   decode_frame_begin(&unit, frame, length, stamp, packet_index, packet_offset)
 *   repeat:
 *     decode_unit_begin(&unit)                    a new unit: no records yet
 *     status = decode_kite(&unit)
 *     DECODE_UNKNOWN_TOKEN: look at the assignment again, set assignment_current = 1, and call
 *         decode_kite once more: it goes on in the same unit (decode_frame_begin clears the mark)
 *     re-check the frame ring, commit unit.record_count records, packet_index and packet_offset
 *   until status != DECODE_MORE
 */
#ifndef PIPELINE_DECODE_UNIT_H
#define PIPELINE_DECODE_UNIT_H

#include <stddef.h>
#include <stdint.h>

#include "handover.h"
#include "layout.h"
#include "tick_flags.h"
#include "token_map.h"

enum DecodeStatus {
    DECODE_DONE = 0,          /* the frame is finished */
    DECODE_MORE = 1,          /* the unit is full, the frame goes on at the position */
    DECODE_SHORT = 2,         /* finished: it ended before its count or a length said so */
    DECODE_TRAILING = 3,      /* finished: bytes are left behind the last packet */
    DECODE_HEARTBEAT = 4,     /* finished: no packets by design */
    DECODE_UNKNOWN_TOKEN = 5  /* stopped before a packet whose token is not in `tokens` */
};

typedef struct {
    int64_t receive_ts_ns;
    int64_t receive_mono_ns;
    uint64_t source_sequence;
    uint32_t connection_epoch;
    uint16_t connection;
} FrameStamp;

#define SLOT_NONE UINT32_MAX        /* a record that the latest table does not get: TICK_BEHIND */

/* A packet that came, and is confirmed by that, although the latest table does not get it. */
typedef struct {
    uint32_t slot;
    uint32_t instrument_token;
    uint32_t mode;
} Sighting;

typedef struct {
    /* the frame: memory that may be overwritten meanwhile, so nothing in it is trusted twice */
    const uint8_t *frame;
    size_t frame_bytes;
    FrameStamp stamp;

    /* where finished records go; both counters advance with each record */
    TickC *records;                 /* record 0 of the ring */
    uint64_t capacity;              /* of the ring, in records */
    uint64_t next_record;           /* index of the next record, wraps at capacity */
    uint64_t next_sequence;         /* its tick sequence */

    /* what the decoder knows */
    const TokenMap *tokens;         /* NULL: every token is accepted, its slot is 0 */
    TickBase *bases;                /* by slot, NULL: no tick is held against an earlier one */
    Overlap *overlaps;              /* by slot, of those whose base is BASE_SHARED; NULL: none is */
    const LatestSlotC *latest;      /* by slot; only looked at for those */
    DecodeCountersC *counters;      /* the packet counters and the short and trailing frames */
    uint32_t portable;              /* 1: no vector instructions, for comparison */
    uint32_t assignment_current;    /* 1: `tokens` is as new as it gets, drop unknown ones */

    /* position in the frame: the next packet and the byte its length stands at */
    uint32_t packet_index;
    uint32_t packet_offset;

    /* the unit so far */
    uint32_t packet_count;          /* consumed, delivered or not */
    uint32_t record_count;          /* written */
    uint32_t slots[UNIT_RECORDS];   /* latest-table slot of each record, or SLOT_NONE */
    uint32_t sighting_count;
    Sighting sightings[UNIT_RECORDS];
} DecodeUnit;

/* Point the unit at a frame. packet_index, packet_offset: 0 and 0, or a position given back. */
static inline void decode_frame_begin(DecodeUnit *unit, const uint8_t *frame, size_t frame_bytes,
                                      FrameStamp stamp, uint32_t packet_index, uint32_t packet_offset) {
    unit->frame = frame;
    unit->frame_bytes = frame_bytes;
    unit->stamp = stamp;
    unit->packet_index = packet_index;
    unit->packet_offset = packet_offset;
    unit->assignment_current = 0;
}

static inline void decode_unit_begin(DecodeUnit *unit) {
    unit->packet_count = 0;
    unit->record_count = 0;
    unit->sighting_count = 0;
}

/* Most packets that this unit may hold: a ring smaller than a unit must not overtake itself. */
static inline uint32_t decode_unit_limit(const DecodeUnit *unit) {
    return unit->capacity < UNIT_RECORDS ? (uint32_t)unit->capacity : UNIT_RECORDS;
}

/* Let the rule of handover.h decide on the record of a shared instrument, whose fields are complete. */
static __attribute__((noinline, cold)) enum Novelty decode_unit_settle(DecodeUnit *unit, TickC *tick, uint32_t slot) {
    const LatestSlotC *cell = &unit->latest[slot];
    const TickC *latest = &cell->copy[cell->head.version & 1]; /* its writer is this process */
    enum Novelty novelty = overlap_take(&unit->overlaps[slot], tick, &unit->bases[slot], latest);
    if (novelty == TICK_NEWS) return novelty;
    unit->sightings[unit->sighting_count++] = (Sighting){slot, tick->instrument_token, tick->mode};
    unit->counters->packets_repeated += novelty == TICK_REPEATED;
    return novelty;
}

#endif
