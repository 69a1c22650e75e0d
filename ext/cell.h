/* The two-copy cell: one writer rewrites a whole value, any number of readers copy it out.
 *
 *   | version | pad to 64 | copy 0 | copy 1 |
 *
 * Copy (version & 1) is current. The writer fills the other one and then stores version + 1,
 * so a writer that is killed in the middle leaves the current copy whole and blocks nobody.
 * A reader's copy is good when the version is *equal* before and after: version + 1 may already
 * mean that the copy is being rewritten for version + 2.
 */
#ifndef PIPELINE_CELL_H
#define PIPELINE_CELL_H

#include "atomics.h"
#include "layout.h"

static inline uint64_t cell_bytes(uint64_t copy_bytes) { return sizeof(CellHeadC) + 2 * copy_bytes; }

static inline uint8_t *cell_copy(void *cell, uint64_t version, uint64_t copy_bytes)
{
    return (uint8_t *)cell + sizeof(CellHeadC) + (version & 1) * copy_bytes;
}

/* The copy that the writer must rewrite whole, before cell_publish. */
static inline void *cell_begin(void *cell, uint64_t copy_bytes)
{
    uint64_t version = load_relaxed(&((CellHeadC *)cell)->version);
    fence_release(); /* the version that made the other copy current goes out before these writes */
    return cell_copy(cell, version + 1, copy_bytes);
}

static inline void cell_publish(void *cell)
{
    CellHeadC *head = (CellHeadC *)cell;
    store_release(&head->version, load_relaxed(&head->version) + 1);
}

static inline void cell_write(void *cell, const void *value, uint64_t copy_bytes)
{
    shared_write(cell_begin(cell, copy_bytes), value, copy_bytes);
    cell_publish(cell);
}

static inline uint64_t cell_version(const void *cell) { return load_acquire(&((const CellHeadC *)cell)->version); }

/* Copy the current value out. Returns 1 and the version, or 0 when the writer came between. */
static inline int cell_try_read(const void *cell, void *value, uint64_t copy_bytes, uint64_t *version)
{
    const CellHeadC *head = (const CellHeadC *)cell;
    uint64_t before = load_acquire(&head->version);
    shared_read(value, cell_copy((void *)(uintptr_t)cell, before, copy_bytes), copy_bytes);
    fence_acquire();
    *version = before;
    return load_relaxed(&head->version) == before;
}

/* Read until it holds; a writer that never pauses for a whole copy would have to be broken. */
static inline uint64_t cell_read(const void *cell, void *value, uint64_t copy_bytes)
{
    uint64_t version;
    while (!cell_try_read(cell, value, copy_bytes, &version)) cpu_pause();
    return version;
}

#endif
