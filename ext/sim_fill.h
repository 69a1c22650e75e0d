/* Filling a client's output with frames of packets, encoded during the run.
 *
 * Real-time frames hold what has moved since it was last sent here (conflation); load frames take
 * the subscriptions in turn and move each instrument on for every packet.
 */
#ifndef PIPELINE_SIM_FILL_H
#define PIPELINE_SIM_FILL_H

#include "sim_output.h"

static inline uint8_t *sim_put_packet(SimOutputC *o, uint8_t *at, const SimInstrumentC *m, int mode, uint32_t words) {
    sim_put16(at, 4 * words);
    at += 2;
    if (words == SIM_FULL_WORDS && o->wide)
        sim_put_full_avx2(at, m->words);
    else
        sim_put_words(at, m->words, words);
    if (mode == SIM_MODE_LTP) sim_put32(at + 4, sim_carry(m->words[SIM_LAST_PRICE], m->sequence));
    return at + 4 * words;
}

static inline uint8_t *sim_begin_frame(SimOutputC *o, size_t payload, uint32_t packets) {
    uint8_t *at = o->bytes + o->end;
    at += sim_put_frame_header(at, 0x2, payload);
    sim_put16(at, packets);
    return at + 2;
}

/* One frame of the next `packets` subscriptions in turn, each moved on first. False: no room. */
static inline int sim_fill_next(SimOutputC *o, uint32_t packets, uint32_t now_s) {
    uint32_t count = o->subscription_count, cursor = o->cursor < count ? o->cursor : 0;
    size_t payload = 2;
    for (uint32_t i = 0, c = cursor; i < packets; i++, c = c + 1 == count ? 0 : c + 1)
        payload += 2 + 4 * o->subscriptions[c].words;
    if (!sim_data_room(o, payload + SIM_FRAME_HEADER_MAX, packets)) return 0;
    uint8_t *at = sim_begin_frame(o, payload, packets);
    for (uint32_t i = 0; i < packets; i++) {
        SimSubscriptionC *s = &o->subscriptions[cursor];
        SimInstrumentC *m = &o->instruments[s->instrument];
        cursor = cursor + 1 == count ? 0 : cursor + 1;
        __builtin_prefetch(&o->instruments[o->subscriptions[cursor].instrument], 1);
        sim_advance(m, now_s);
        s->sent_sequence = m->sequence;
        at = sim_put_packet(o, at, m, s->mode, s->words);
        sim_row(o, m->words[SIM_TOKEN], m->sequence, i, s->mode, SIM_KIND_FRESH);
    }
    o->cursor = cursor;
    o->end = (size_t)(at - o->bytes);
    sim_mark(o, packets);
    return 1;
}

/* One frame of every subscription whose instrument has moved since it was last encoded here; with
 * `only_new`, of those never encoded in their mode. Returns the packets, 0 also without room. */
static inline uint32_t sim_fill_changed(SimOutputC *o, int only_new) {
    size_t payload = 2;
    uint32_t packets = 0, index = 0;
    for (uint32_t i = 0; i < o->subscription_count; i++) {
        const SimSubscriptionC *s = &o->subscriptions[i];
        if (only_new ? s->sent_sequence != 0 : s->sent_sequence == o->instruments[s->instrument].sequence) continue;
        payload += 2 + 4 * s->words;
        packets++;
    }
    if (!packets || packets > SIM_PACKETS_PER_FRAME_MAX) return 0;
    if (!sim_data_room(o, payload + SIM_FRAME_HEADER_MAX, packets)) return 0;
    uint8_t *at = sim_begin_frame(o, payload, packets);
    for (uint32_t i = 0; index < packets; i++) {
        SimSubscriptionC *s = &o->subscriptions[i];
        const SimInstrumentC *m = &o->instruments[s->instrument];
        if (only_new ? s->sent_sequence != 0 : s->sent_sequence == m->sequence) continue;
        at = sim_put_packet(o, at, m, s->mode, s->words);
        sim_row(o, m->words[SIM_TOKEN], m->sequence, index++, s->mode,
                s->sent_sequence ? SIM_KIND_FRESH : SIM_KIND_CACHED);
        s->sent_sequence = m->sequence;
    }
    o->end = (size_t)(at - o->bytes);
    sim_mark(o, packets);
    return packets;
}

/* Encode and send in turn, until `budget` packets are encoded or the socket is full. Returns how
 * many packets were encoded. */
static inline uint64_t sim_pump(SimOutputC *o, int fd, uint32_t packets_per_frame, uint64_t budget, uint32_t now_s) {
    uint64_t encoded = 0;
    while (!o->error) {
        while (o->subscription_count && encoded < budget && sim_pending(o) < SIM_SEND_BYTES) {
            uint32_t packets = budget - encoded < packets_per_frame ? (uint32_t)(budget - encoded) : packets_per_frame;
            if (!sim_fill_next(o, packets, now_s)) break;
            encoded += packets;
        }
        if (!sim_pending(o)) break;
        sim_send(o, fd, sim_pending(o));
        if (sim_pending(o)) break;
    }
    return encoded;
}

#endif
