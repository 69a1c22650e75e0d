/* The simulated exchange's instruments, and how one moves on: a bounded random walk.
 *
 * The n-th state of an instrument is a function of the seed, its token and n alone (but for the
 * clock fields and an ordered shift), whoever subscribes and whenever it is sent. All prices are
 * in wire units.
 */
#ifndef PIPELINE_SIM_MARKET_H
#define PIPELINE_SIM_MARKET_H

#include "sim_encode.h"

typedef struct {
    uint32_t words[SIM_FULL_WORDS]; /* the packet's image, see sim_encode.h */
    uint32_t sequence;              /* of the state in `words`; the first state has 1 */
    uint32_t price;                 /* where the walk stands: last_price without sequence bits */
    uint32_t price_min;             /* the walk turns back here, so that no price doubts a tick */
    uint32_t price_max;
    uint32_t tick_size;
    uint32_t oi_mask;               /* all ones where open interest exists */
    uint64_t noise;                 /* seed and token mixed */
    uint32_t is_index;
    uint32_t _pad[9];
} SimInstrumentC;

_Static_assert(sizeof(SimInstrumentC) == 256, "four cache lines");

static inline uint64_t sim_mix(uint64_t z) { /* splitmix64's finisher */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static inline uint32_t sim_carry(uint32_t price, uint32_t sequence) {
    return (price & ~SIM_SEQUENCE_MASK) | (sequence & SIM_SEQUENCE_MASK);
}

static inline void sim_advance_index(SimInstrumentC *m, uint32_t now_s) {
    uint32_t *w = m->words;
    uint32_t last = sim_carry(m->price, m->sequence);
    w[SIM_LAST_PRICE] = last;
    if (last > w[SIM_INDEX_HIGH]) w[SIM_INDEX_HIGH] = last;
    if (last < w[SIM_INDEX_LOW]) w[SIM_INDEX_LOW] = last;
    w[SIM_INDEX_CHANGE] = last - w[SIM_INDEX_CLOSE];
    w[SIM_INDEX_EXCHANGE_TIME] = now_s;
}

static inline void sim_advance_traded(SimInstrumentC *m, uint32_t step, uint64_t noise, uint32_t now_s) {
    uint32_t *w = m->words;
    uint32_t price = m->price;
    w[SIM_LAST_PRICE] = price;
    w[SIM_LAST_QUANTITY] = 1 + ((uint32_t)(noise >> 8) & 0x3ff);
    w[SIM_AVERAGE_PRICE] += (uint32_t)((int32_t)(price - w[SIM_AVERAGE_PRICE]) / 64);
    w[SIM_VOLUME] = m->sequence;
    w[SIM_BUY_QUANTITY] = 100000 + ((uint32_t)(noise >> 18) & 0xfffff);
    w[SIM_SELL_QUANTITY] = 100000 + ((uint32_t)(noise >> 28) & 0xfffff);
    if (price > w[SIM_HIGH]) w[SIM_HIGH] = price;
    if (price < w[SIM_LOW]) w[SIM_LOW] = price;
    w[SIM_LAST_TRADE_TIME] = now_s;
    w[SIM_OI] += (((uint32_t)(noise >> 40) & 0xff) - 127) & m->oi_mask;
    if (w[SIM_OI] > w[SIM_OI_HIGH]) w[SIM_OI_HIGH] = w[SIM_OI];
    if (w[SIM_OI] < w[SIM_OI_LOW]) w[SIM_OI_LOW] = w[SIM_OI];
    w[SIM_EXCHANGE_TIME] = now_s;
    for (int i = 0; i < SIM_DEPTH_ENTRIES; i++) /* the book moves with the price */
        w[SIM_DEPTH + SIM_DEPTH_STRIDE * i + 1] += step;
    uint32_t *entry = w + SIM_DEPTH + SIM_DEPTH_STRIDE * (((uint32_t)(noise >> 60) * SIM_DEPTH_ENTRIES) >> 4);
    entry[0] = 1 + ((uint32_t)(noise >> 32) & 0xffff);
    entry[2] = (1 + ((uint32_t)(noise >> 50) & 0xff)) << 16;
}

/* Bring one instrument to its next state. */
static inline void sim_advance(SimInstrumentC *m, uint32_t now_s) {
    static const int8_t STEPS[8] = {-2, -1, -1, 0, 0, 1, 1, 2};
    uint32_t sequence = ++m->sequence;
    uint64_t noise = sim_mix(m->noise + sequence * 0x9e3779b97f4a7c15ull);
    uint32_t step = (uint32_t)STEPS[noise & 7] * m->tick_size; /* modulo 2^32, so it may be negative */
    uint32_t price = m->price + step;
    if (price < m->price_min || price > m->price_max) {
        step = 0u - step;
        price = m->price + step;
    }
    m->price = price;
    if (m->is_index)
        sim_advance_index(m, now_s);
    else
        sim_advance_traded(m, step, noise, now_s);
}

/* Move the price, the walk's bounds and the book from the next state on; 0 when out of range. */
static inline int sim_shift(SimInstrumentC *m, int64_t by) {
    /* the lowest bid stays above nothing, the highest price within a packet's signed word */
    if (by < -(int64_t)(m->price_min / 2) || by > INT32_MAX - (int64_t)m->price_max)
        return 0;
    m->price += (uint32_t)by;
    m->price_min += (uint32_t)by;
    m->price_max += (uint32_t)by;
    for (int i = 0; i < SIM_DEPTH_ENTRIES && !m->is_index; i++)
        m->words[SIM_DEPTH + SIM_DEPTH_STRIDE * i + 1] += (uint32_t)by;
    return 1;
}

/* Lay out the first state: sequence 1, previous close half a per cent below, an ordinary book. */
static inline void sim_open(SimInstrumentC *m, uint32_t token, uint32_t price, uint32_t tick_size, int is_index,
                            int has_oi, uint64_t seed, uint32_t now_s) {
    uint32_t *w = m->words, close = price - price / 200;
    memset(m, 0, sizeof *m);
    m->noise = sim_mix(seed ^ sim_mix(token));
    m->price = price;
    m->price_min = price - price / 20;
    m->price_max = price + price / 20;
    m->tick_size = tick_size;
    m->oi_mask = has_oi ? ~0u : 0u;
    m->is_index = (uint32_t)(is_index != 0);
    m->sequence = 1;
    w[SIM_TOKEN] = token;
    if (is_index) {
        w[SIM_INDEX_HIGH] = w[SIM_INDEX_LOW] = w[SIM_INDEX_OPEN] = sim_carry(price, 1);
        w[SIM_INDEX_CLOSE] = close;
        sim_advance_index(m, now_s);
        return;
    }
    w[SIM_AVERAGE_PRICE] = w[SIM_OPEN] = w[SIM_HIGH] = w[SIM_LOW] = price;
    w[SIM_CLOSE] = close;
    w[SIM_OI] = w[SIM_OI_HIGH] = w[SIM_OI_LOW] = has_oi ? 1000000 : 0;
    for (uint32_t i = 0; i < SIM_DEPTH_ENTRIES; i++) {
        uint32_t away = tick_size * (i % 5 + 1);
        uint32_t *entry = w + SIM_DEPTH + SIM_DEPTH_STRIDE * i;
        entry[0] = 100 * (i + 1);
        entry[1] = i < 5 ? price - away : price + away;
        entry[2] = (i + 1) << 16;
    }
    uint32_t oi = w[SIM_OI];
    sim_advance_traded(m, 0, sim_mix(m->noise), now_s);
    w[SIM_OI] = w[SIM_OI_HIGH] = w[SIM_OI_LOW] = oi;
}

#endif
