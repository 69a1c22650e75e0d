/* Kite Connect v3 frames -> tick records. Floor 0, plain C11: no Python, no allocation, no locks.
 *
 * The walk over a frame's packets, and what becomes of each; `kite_wire.h` has the wire facts,
 * `kite_body.h` the fields. `pipeline/brokers/kite/wire.py` is the readable twin.
 */
#ifndef PIPELINE_DECODE_KITE_H
#define PIPELINE_DECODE_KITE_H

#include "decode_unit.h"
#include "endian.h"
#include "kite_avx512.h"
#include "kite_body.h"

typedef uint32_t (*KiteWriter)(TickC *tick, const uint8_t *body, const KiteScale *scale, uint32_t token, KiteNow now,
                               TickBase *base);

/* A unit's variables while it is decoded: copies, so that they stay in registers although every
 * store into a record might, for all that the compiler knows, change the unit. Few, so that they fit. */
typedef struct {
    const uint8_t *packet;          /* where the next one's length stands */
    TickC *tick;                    /* the next record */
    uint64_t first_sequence;        /* of record 0 of the unit */
    uint32_t packet_index;
    uint32_t record_count;
    uint32_t flagged;
    KiteNow now;
} KiteWalk;

ALWAYS_INLINE KiteWalk kite_walk_begin(const DecodeUnit *unit) {
    return (KiteWalk){unit->frame + unit->packet_offset, &unit->records[unit->next_record],
                      unit->next_sequence - unit->record_count, unit->packet_index, unit->record_count, 0,
                      kite_now(unit->stamp.receive_ts_ns, unit->stamp.connection)};
}

ALWAYS_INLINE enum DecodeStatus kite_walk_end(DecodeUnit *unit, const KiteWalk *walk, enum DecodeStatus status) {
    DecodeCountersC *counters = unit->counters;
    uint32_t packets = walk->packet_index - unit->packet_index, records = walk->record_count - unit->record_count;
    counters->packets_in += packets;
    counters->ticks_out += records;
    counters->ticks_flagged += walk->flagged;
    unit->next_record = (uint64_t)(walk->tick - unit->records);
    unit->next_sequence += records;
    unit->packet_index = walk->packet_index;
    unit->packet_offset = (uint32_t)(walk->packet - unit->frame);
    unit->packet_count += packets;
    unit->record_count = walk->record_count;
    return status;
}

/* The frame is finished, whatever is left of it. */
static inline enum DecodeStatus kite_end_frame(DecodeUnit *unit, uint32_t count, enum DecodeStatus status) {
    if (status == DECODE_SHORT) unit->counters->frames_short++;
    if (status == DECODE_TRAILING) unit->counters->frames_trailing++;
    unit->packet_index = count;
    unit->packet_offset = (uint32_t)unit->frame_bytes;
    return status;
}

/* Account for a packet that no one asked for. */
static inline void kite_drop_packet(DecodeUnit *unit, uint32_t token) {
    if (token_map_in_grace(unit->tokens, token, unit->stamp.receive_mono_ns))
        unit->counters->packets_unsubscribed++;
    else
        unit->counters->packets_unassigned++;
}

/* The flags of a record, of which `seen` are the fields, and the base that it becomes. */
ALWAYS_INLINE uint32_t kite_flags(const TickC *tick, const TickSeen *seen, uint32_t token, KiteNow now, TickBase *base,
                                  unsigned carries) {
    const uint64_t key = now.base_mark | token;
    if (base && __builtin_expect(tick_base_key(base) != key, 0))
        return kite_doubt(tick, key, now.receive_ts_ns, base, carries);
    uint32_t flags = tick_flags(seen, now.receive_ts_ns, base, carries);
    if (base) tick_base_see(base, seen, key);
    return flags;
}

/* Write a record but for its flags, which it returns, and make it the base, unless these are
 * TICK_SHARED. size is known; body holds that many bytes. */
ALWAYS_INLINE uint32_t kite_write_tick(TickC *tick, const uint8_t *body, uint32_t size, uint32_t token, KiteNow now,
                                       TickBase *base, KiteWriter write_full) {
    const KiteScale *scale = kite_scale(kite_segment(token));
    uint32_t flags = scale->flags;
    TickSeen seen;
    switch (size) {
    case KITE_FULL_SIZE:
        return flags | write_full(tick, body, scale, token, now, base);
    case KITE_QUOTE_SIZE:
        seen = kite_write_quote(tick, body, scale);
        return flags | kite_flags(tick, &seen, token, now, base, KITE_CARRIES_QUOTE);
    case KITE_LTP_SIZE:
        seen = kite_write_ltp(tick, body, scale);
        return flags | kite_flags(tick, &seen, token, now, base, 0);
    case KITE_INDEX_QUOTE_SIZE:
        seen = kite_write_index(tick, body, scale);
        return flags | FLAG_INDEX_LAYOUT | kite_flags(tick, &seen, token, now, base, KITE_CARRIES_INDEX);
    default:
        seen = kite_write_index_full(tick, body, scale);
        return flags | FLAG_INDEX_LAYOUT | kite_flags(tick, &seen, token, now, base, KITE_CARRIES_INDEX_FULL);
    }
}

/* Remarks on packets that nobody should send; straight into the counters, for they are rare. */
ALWAYS_INLINE void kite_remark(const DecodeUnit *unit, uint32_t size, uint32_t flags) {
    int is_index = !(flags & FLAG_TRADABLE), index_layout = (flags & FLAG_INDEX_LAYOUT) != 0;
    if (__builtin_expect(flags & KITE_UNKNOWN_SEGMENT, 0)) unit->counters->packets_unknown_segment++;
    if (__builtin_expect((size != KITE_LTP_SIZE) & (is_index != index_layout), 0))
        unit->counters->packets_segment_mismatch++;
}

/* Fill the next record of the ring. Returns 0 if the packet is none to deliver. */
ALWAYS_INLINE int kite_deliver(DecodeUnit *unit, KiteWalk *walk, const uint8_t *body, uint32_t size,
                               uint32_t token, uint32_t slot, TickBase *base, KiteWriter write_full) {
    TickC *tick = walk->tick;
    if (size != KITE_FULL_SIZE) {
        kite_clear(tick);
        tick->broker = BROKER_KITE;
    }
    uint32_t flags = kite_write_tick(tick, body, size, token, walk->now, base, write_full);
    /* After the fields, which may be written in whole lines. */
    tick->sequence = walk->first_sequence + walk->record_count;
    tick->source_sequence = unit->stamp.source_sequence;
    tick->receive_ts_ns = unit->stamp.receive_ts_ns;
    tick->receive_mono_ns = unit->stamp.receive_mono_ns;
    tick->instrument_token = token;
    tick->connection_epoch = unit->stamp.connection_epoch;
    tick->flags = flags & ~(TICK_SHARED | KITE_UNKNOWN_SEGMENT);
    tick->packet_index = (uint16_t)walk->packet_index;
    tick->connection = unit->stamp.connection;
    unit->slots[walk->record_count] = slot;
    if (__builtin_expect(size == KITE_FULL_SIZE && flags == FLAG_TRADABLE, 1)) return 1; /* nothing to say of it */
    kite_remark(unit, size, flags);
    if (__builtin_expect(flags & (FLAGS_DOUBT | TICK_SHARED), 0)) {
        enum Novelty novelty = flags & TICK_SHARED ? decode_unit_settle(unit, tick, slot) : TICK_NEWS;
        if (novelty == TICK_REPEATED) return 0;
        if (novelty == TICK_BEHIND) unit->slots[walk->record_count] = SLOT_NONE;
        walk->flagged += (tick->flags & FLAGS_DOUBT) != 0;
    }
    return 1;
}

/* Deliver or drop one packet of a known size. Returns 0 if its token has to be looked up anew. */
ALWAYS_INLINE int kite_take_packet(DecodeUnit *unit, KiteWalk *walk, const uint8_t *body, uint32_t size,
                                   KiteWriter write_full) {
    uint32_t token = read_be32(body + KITE_TOKEN_OFFSET);
    uint32_t slot = 0;
    TickBase *base = NULL;
    if (unit->tokens) {
        const TokenEntry *entry = token_map_find(unit->tokens, token);
        if (!entry && !unit->assignment_current) return 0;
        if (!entry) {
            kite_drop_packet(unit, token);
            return 1;
        }
        slot = entry->slot;
        if (unit->bases) base = &unit->bases[slot];
    }
    if (!kite_deliver(unit, walk, body, size, token, slot, base, write_full)) return 1;
    walk->record_count++;
    if (++walk->tick == &unit->records[unit->capacity]) walk->tick = unit->records;
    return 1;
}

static inline int kite_is_known_size(uint32_t size) {
    return size == KITE_FULL_SIZE || size == KITE_QUOTE_SIZE || size == KITE_LTP_SIZE ||
           size == KITE_INDEX_FULL_SIZE || size == KITE_INDEX_QUOTE_SIZE;
}

#define KITE_FORESEE_TOKENS 8u
#define KITE_FORESEE_BASES 4u
#define KITE_FORESEE_BYTES 3072u    /* beyond the packet, and so beyond the token that is looked up ahead */

/* Fetch what packets further on will need, if they are as long as this one, as most are; a wrong
 * guess costs nothing but itself. */
ALWAYS_INLINE void kite_foresee(const DecodeUnit *unit, const uint8_t *packet, size_t step, size_t left) {
    const uint8_t *token = packet + KITE_LENGTH_BYTES + KITE_TOKEN_OFFSET;
    if (left >= KITE_FORESEE_BYTES + step)
        for (size_t line = 0; line < step; line += CACHE_LINE)
            __builtin_prefetch(packet + KITE_FORESEE_BYTES + line);
    if (!unit->tokens || left < KITE_FORESEE_TOKENS * step + KITE_LENGTH_BYTES + KITE_TOKEN_OFFSET + 4) return;
    token_map_foresee(unit->tokens, read_be32(token + KITE_FORESEE_TOKENS * step));
    if (unit->bases)
        __builtin_prefetch(&unit->bases[token_map_guess(unit->tokens, read_be32(token + KITE_FORESEE_BASES * step))], 1);
}

/* Take packets until the unit is full (MORE), a token is unknown, or the frame ends. */
ALWAYS_INLINE enum DecodeStatus kite_walk_packets(DecodeUnit *unit, uint32_t count, KiteWriter write_full) {
    const uint8_t *const end = unit->frame + unit->frame_bytes;
    const uint32_t room = decode_unit_limit(unit) - unit->packet_count;
    if (unit->packet_index == 0) unit->packet_offset = KITE_COUNT_BYTES;
    if (unit->packet_offset < KITE_COUNT_BYTES || unit->packet_offset > unit->frame_bytes) return DECODE_SHORT;
    KiteWalk walk = kite_walk_begin(unit);
    const uint32_t stop = walk.packet_index + room < count ? walk.packet_index + room : count;
    while (walk.packet_index < stop) {
        const size_t left = (size_t)(end - walk.packet);
        if (left < KITE_LENGTH_BYTES) return kite_walk_end(unit, &walk, DECODE_SHORT);
        const uint32_t size = read_be16_once(walk.packet);
        if (left - KITE_LENGTH_BYTES < size) return kite_walk_end(unit, &walk, DECODE_SHORT);
        kite_foresee(unit, walk.packet, KITE_LENGTH_BYTES + size, left);
        if (!kite_is_known_size(size))
            unit->counters->packets_unknown_size++;
        else if (!kite_take_packet(unit, &walk, walk.packet + KITE_LENGTH_BYTES, size, write_full))
            return kite_walk_end(unit, &walk, DECODE_UNKNOWN_TOKEN);
        walk.packet_index++;
        walk.packet += KITE_LENGTH_BYTES + size;
    }
    if (walk.packet_index < count) return kite_walk_end(unit, &walk, DECODE_MORE);
    return kite_walk_end(unit, &walk, walk.packet < end ? DECODE_TRAILING : DECODE_DONE);
}

/* 1 for a message without packets, which the server sends when there is nothing to say. */
static inline int kite_is_heartbeat(size_t frame_bytes) { return frame_bytes < KITE_COUNT_BYTES; }

static enum DecodeStatus kite_walk_portable(DecodeUnit *unit, uint32_t count) {
    return kite_walk_packets(unit, count, kite_write_full);
}

#ifdef KITE_HAS_AVX512
KITE_AVX512 static enum DecodeStatus kite_walk_avx512(DecodeUnit *unit, uint32_t count) {
    return kite_walk_packets(unit, count, kite_write_full_avx512);
}
#endif

static inline enum DecodeStatus kite_walk(DecodeUnit *unit, uint32_t count) {
#ifdef KITE_HAS_AVX512
    if (!unit->portable && kite_cpu_has_avx512()) return kite_walk_avx512(unit, count);
#endif
    return kite_walk_portable(unit, count);
}

/* Decode from the unit's position to the end of the frame or of the unit.
 *
 * Every complete packet before a fault is delivered. Every packet consumed is counted once:
 * packets_in = ticks_out + unknown_size + unassigned + unsubscribed + repeated.
 */
static inline enum DecodeStatus decode_kite(DecodeUnit *unit) {
    if (kite_is_heartbeat(unit->frame_bytes)) return kite_end_frame(unit, 0, DECODE_HEARTBEAT);
    const uint32_t count = read_be16_once(unit->frame);
    enum DecodeStatus status = kite_walk(unit, count);
    int goes_on = status == DECODE_MORE || status == DECODE_UNKNOWN_TOKEN;
    return goes_on ? status : kite_end_frame(unit, count, status);
}

#endif
