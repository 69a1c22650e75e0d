/* Which latest-table slot an instrument has: a hash table in the decoder's private memory.
 *
 * Built from the rows of one connection's assignment, after they were copied out of shared
 * memory. A token that was in the previous assignment and is not in this one stays as RETIRED
 * until a deadline, so that packets already under way at an unsubscribe are told from strangers.
 * Open addressing, at most half full, linear probing: a look-up touches one line as a rule.
 */
#ifndef PIPELINE_TOKEN_MAP_H
#define PIPELINE_TOKEN_MAP_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "layout.h"

enum TokenState { TOKEN_EMPTY = 0, TOKEN_ACTIVE = 1, TOKEN_RETIRED = 2 };

typedef struct {
    uint32_t instrument_token;
    uint32_t slot;
    uint8_t mode;                   /* enum Mode, as assigned */
    uint8_t state;                  /* enum TokenState */
    uint8_t _pad[2];
} TokenEntry;

/* Beside the entries, so that the hot line stays small. */
typedef struct {
    int64_t deadline_mono_ns;       /* RETIRED: until when its packets are no surprise */
    uint32_t owner_epoch;           /* ACTIVE: as assigned */
} TokenAside;

typedef struct {
    TokenEntry *entries;
    TokenAside *aside;              /* by the same index */
    uint32_t capacity;              /* a power of two, at least 16 */
    uint32_t shift;                 /* 32 - log2(capacity) */
    uint32_t active;
    uint32_t retired;
    uint32_t rejected;              /* rows of the last assignment whose slot does not exist */
} TokenMap;

/* Make an empty map. Returns 0, or -1 without memory. */
static inline int token_map_init(TokenMap *map, uint32_t instruments) {
    uint32_t bits = 4;
    while (bits < 31 && ((uint64_t)1 << bits) < 2 * (uint64_t)instruments) bits++;
    memset(map, 0, sizeof *map);
    map->capacity = (uint32_t)1 << bits;
    map->shift = 32 - bits;
    map->entries = calloc(map->capacity, sizeof *map->entries);
    map->aside = calloc(map->capacity, sizeof *map->aside);
    if (map->entries && map->aside) return 0;
    free(map->entries);
    free(map->aside);
    memset(map, 0, sizeof *map);
    return -1;
}

/* Release the map's memory; it may be freed twice, and must not be looked up in afterwards. */
static inline void token_map_free(TokenMap *map) {
    free(map->entries);
    free(map->aside);
    memset(map, 0, sizeof *map);
}

/* Fibonacci hashing: a Kite token's low byte is its segment, the same for thousands. */
static inline uint32_t token_map_home(const TokenMap *map, uint32_t instrument_token) {
    return (uint32_t)(instrument_token * 0x9E3779B1u) >> map->shift;
}

/* The entry's index, or that of the empty place where it would go. */
static inline uint32_t token_map_probe(const TokenMap *map, uint32_t instrument_token) {
    uint32_t i = token_map_home(map, instrument_token);
    while (map->entries[i].state != TOKEN_EMPTY && map->entries[i].instrument_token != instrument_token)
        i = (i + 1) & (map->capacity - 1);
    return i;
}

/* The ACTIVE entry of a token, or NULL. */
static inline const TokenEntry *token_map_find(const TokenMap *map, uint32_t instrument_token) {
    const TokenEntry *entry = &map->entries[token_map_probe(map, instrument_token)];
    return entry->state == TOKEN_ACTIVE ? entry : NULL;
}

/* The entry of a token that is assigned, or was, or NULL. */
static inline const TokenEntry *token_map_recall(const TokenMap *map, uint32_t instrument_token) {
    const TokenEntry *entry = &map->entries[token_map_probe(map, instrument_token)];
    return entry->state == TOKEN_EMPTY ? NULL : entry;
}

/* 1 if the row says what the map says already: the same slot under the same owner epoch. */
static inline int token_map_agrees(const TokenMap *map, const AssignmentC *row) {
    uint32_t i = token_map_probe(map, row->instrument_token);
    return map->entries[i].state == TOKEN_ACTIVE && map->entries[i].slot == row->slot &&
           map->aside[i].owner_epoch == row->owner_epoch;
}

/* Have a token's place ready for a look-up that comes soon. */
static inline void token_map_foresee(const TokenMap *map, uint32_t instrument_token) {
    __builtin_prefetch(&map->entries[token_map_home(map, instrument_token)]);
}

/* The slot of what lies at a token's home: as a rule its own, and good for no more than a guess. */
static inline uint32_t token_map_guess(const TokenMap *map, uint32_t instrument_token) {
    return map->entries[token_map_home(map, instrument_token)].slot;
}

/* 1 if the token was unassigned so recently that its packets are no surprise. */
static inline int token_map_in_grace(const TokenMap *map, uint32_t instrument_token, int64_t now_mono_ns) {
    uint32_t i = token_map_probe(map, instrument_token);
    return map->entries[i].state == TOKEN_RETIRED && now_mono_ns <= map->aside[i].deadline_mono_ns;
}

static inline void token_map_put(TokenMap *map, TokenEntry entry, TokenAside aside) {
    uint32_t i = token_map_probe(map, entry.instrument_token);
    if (map->entries[i].state == TOKEN_EMPTY) {
        if (entry.state == TOKEN_ACTIVE) map->active++;
        else map->retired++;
    }
    map->entries[i] = entry;
    map->aside[i] = aside;
}

/* Whether `next` lacks this token, so that it has to be kept as RETIRED. */
static inline int token_map_lacks(const TokenMap *next, uint32_t instrument_token) {
    return next->entries[token_map_probe(next, instrument_token)].state == TOKEN_EMPTY;
}

static inline void token_map_take_over(TokenMap *next, const TokenMap *old, int64_t now_mono_ns,
                                       int64_t grace_ns) {
    for (uint32_t i = 0; i < old->capacity; i++) {
        TokenEntry entry = old->entries[i];
        TokenAside aside = {old->aside[i].deadline_mono_ns, 0};
        if (entry.state == TOKEN_ACTIVE) aside.deadline_mono_ns = now_mono_ns + grace_ns;
        else if (entry.state == TOKEN_EMPTY || aside.deadline_mono_ns < now_mono_ns) continue;
        if (!token_map_lacks(next, entry.instrument_token)) continue;
        entry.state = TOKEN_RETIRED;
        token_map_put(next, entry, aside);
    }
}

/* Replace the map's content by an assignment; what it no longer has is RETIRED for `grace_ns`.
 *
 * rows: private copies. Rows without a mode are not wanted; rows with a slot outside
 * [0, slot_count) are left out and counted in `rejected`. Returns 0, or -1 without memory:
 * then the map is as before.
 */
static inline int token_map_assign(TokenMap *map, const AssignmentC *rows, uint32_t count,
                                   uint32_t slot_count, int64_t now_mono_ns, int64_t grace_ns) {
    TokenMap next;
    uint64_t room = (uint64_t)count + map->active + map->retired;
    if (room > UINT32_MAX / 4 || token_map_init(&next, (uint32_t)room) != 0) return -1;
    for (uint32_t i = 0; i < count; i++) {
        if (rows[i].mode == MODE_NONE) continue;
        if (rows[i].slot >= slot_count) {
            next.rejected++;
            continue;
        }
        TokenEntry entry = {rows[i].instrument_token, rows[i].slot, rows[i].mode, TOKEN_ACTIVE, {0}};
        token_map_put(&next, entry, (TokenAside){0, rows[i].owner_epoch});
    }
    token_map_take_over(&next, map, now_mono_ns, grace_ns);
    token_map_free(map);
    *map = next;
    return 0;
}

#endif
