/* Mutated frames with a good one between each two: mutate_decode_kite SEED FRAMES
 *
 * Needs no fuzzing engine, only a sanitizing compiler. Prints what the frames ended as. A good
 * frame must give exactly its ticks, whatever came before it.
 */
#include "kite_rig.h"

#define GOOD_PACKETS 5
#define FRAME_MOST 2048
#define RIGS 4 /* assigned tokens only; the same in a tiny ring, portable; every token; shared ones */
#define SHARED 3

static uint64_t random_state;

/* xorshift64*: small, seeded, the same everywhere. */
static uint32_t random_below(uint32_t limit) {
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)((random_state * 2685821657736338717ull) >> 33) % limit;
}

static void put16(uint8_t *bytes, uint32_t value) {
    bytes[0] = (uint8_t)(value >> 8);
    bytes[1] = (uint8_t)value;
}

static void put32(uint8_t *bytes, uint32_t value) {
    put16(bytes, value >> 16);
    put16(bytes + 2, value & 0xffff);
}

static const uint32_t SIZES[GOOD_PACKETS] = {8, 28, 32, 44, 184};

/* A packet of each size, for an assigned token, last price 1000 + mark; returns the length. */
static size_t good_frame(uint8_t *frame, uint32_t mark) {
    uint8_t *at = frame + 2;
    put16(frame, GOOD_PACKETS);
    for (uint32_t i = 0; i < GOOD_PACKETS; i++) {
        put16(at, SIZES[i]);
        put32(at + 2, rig_token((mark + i) % RIG_SLOTS));
        put32(at + 6, 1000 + mark % 50);
        for (uint32_t field = 8; field < SIZES[i]; field += 4) put32(at + 2 + field, 1700000000 + field);
        at += 2 + SIZES[i];
    }
    return (size_t)(at - frame);
}

static size_t mutate_once(uint8_t *frame, size_t bytes) {
    static const uint16_t LENGTHS[] = {0, 1, 3, 4, 7, 8, 12, 28, 32, 44, 164, 183, 184, 185, 492, 65535};
    uint32_t at = random_below((uint32_t)bytes);
    switch (random_below(6)) {
    case 0: frame[at] ^= (uint8_t)(1u << random_below(8)); return bytes;
    case 1: frame[at] = (uint8_t)random_below(256); return bytes;
    case 2: return at ? at : 1;                                          /* cut */
    case 3: put16(frame, random_below(2) ? random_below(12) : 65535); return bytes;
    case 4:                                                              /* a lying length */
        if (bytes > 4) put16(frame + 2, LENGTHS[random_below(16)]);
        return bytes;
    default:                                                             /* a tail, or a repeat */
        if (bytes + at > FRAME_MOST) return bytes;
        memmove(frame + bytes, frame, at);
        return bytes + at;
    }
}

static void check_good(KiteRig *rig, uint32_t mark) {
    uint8_t frame[FRAME_MOST];
    size_t bytes = good_frame(frame, mark);
    uint64_t first = rig->unit.next_record;
    uint64_t before = rig->ticks;
    RIG_CHECK(rig_decode(rig, frame, bytes, 0, 0) == DECODE_DONE);
    RIG_CHECK(rig->ticks == before + GOOD_PACKETS);
    for (uint32_t i = 0; i < GOOD_PACKETS; i++) {
        const TickC *tick = &rig->unit.records[(first + i) % rig->unit.capacity];
        RIG_CHECK(tick->instrument_token == rig_token((mark + i) % RIG_SLOTS));
        RIG_CHECK(tick->last_price == (1000 + mark % 50) / 100.0);
        RIG_CHECK(tick->packet_index == i && tick->sequence == before + i);
    }
}

/* Of two connections that bring the same frame, the second one's full packets are repeated. */
static void check_shared(KiteRig *rig, uint32_t mark) {
    uint8_t frame[FRAME_MOST];
    size_t bytes = good_frame(frame, mark);
    for (rig->connection = 1; rig->connection <= 2; rig->connection++) {
        uint64_t before = rig->ticks + rig->counters.packets_repeated;
        RIG_CHECK(rig_decode(rig, frame, bytes, 0, 0) == DECODE_DONE);
        RIG_CHECK(rig->ticks + rig->counters.packets_repeated == before + GOOD_PACKETS);
    }
    rig->connection = (uint16_t)(1 + random_below(3));
}

int main(int argc, char **argv) {
    uint64_t ended[DECODE_UNKNOWN_TOKEN] = {0};
    KiteRig rig[RIGS];
    uint64_t unknown_size = 0, unassigned = 0, repeated = 0;
    if (argc != 3) {
        fprintf(stderr, "usage: %s SEED FRAMES\n", argv[0]);
        return 2;
    }
    random_state = strtoull(argv[1], NULL, 10) * 2 + 1;
    uint64_t frames = strtoull(argv[2], NULL, 10);
    for (int n = 0; n < RIGS; n++) rig_open(&rig[n], n & 1 ? 7 : 512, n < 2 || n == SHARED, n & 1);
    rig_share(&rig[SHARED]);
    for (uint64_t i = 0; i < frames; i++) {
        uint8_t frame[2 * FRAME_MOST];
        size_t bytes = good_frame(frame, (uint32_t)i);
        KiteRig *one = &rig[random_below(RIGS)];
        for (uint32_t n = random_below(6); n < 6; n++) bytes = mutate_once(frame, bytes);
        uint32_t resumed = random_below(8) == 0;
        ended[rig_decode(one, frame, bytes, resumed * random_below(8), resumed * random_below(400))]++;
        if (one == &rig[SHARED]) check_shared(one, (uint32_t)i);
        else check_good(one, (uint32_t)i);
    }
    for (int n = 0; n < RIGS; n++) {
        unknown_size += rig[n].counters.packets_unknown_size;
        unassigned += rig[n].counters.packets_unassigned;
        repeated += rig[n].counters.packets_repeated;
        rig_close(&rig[n]);
    }
    printf("done=%llu short=%llu trailing=%llu heartbeat=%llu\n", (unsigned long long)ended[DECODE_DONE],
           (unsigned long long)ended[DECODE_SHORT], (unsigned long long)ended[DECODE_TRAILING],
           (unsigned long long)ended[DECODE_HEARTBEAT]);
    printf("good=%llu unknown_size=%llu unassigned=%llu repeated=%llu\n", (unsigned long long)frames,
           (unsigned long long)unknown_size, (unsigned long long)unassigned, (unsigned long long)repeated);
    return 0;
}
