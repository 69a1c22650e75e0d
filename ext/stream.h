/* A stream of fixed records under the ring rule: tick streams and event streams.
 *
 *   tick stream:   header | oldest, tail | commit block | records
 *   event stream:  header | oldest, tail | records
 *
 * The writer fills slots beyond the tail and publishes them all at once by moving the tail.
 * `oldest` runs a whole unit ahead, so that it need not move for every record.
 */
#ifndef PIPELINE_STREAM_H
#define PIPELINE_STREAM_H

#include "atomics.h"
#include "cell.h"
#include "layout.h"
#include "ring.h"

typedef struct {
    RingControlC *control;
    CommitCellC *commit; /* tick streams only */
    uint8_t *records;
    uint64_t capacity;
    uint64_t record_size;
} Stream;

static inline uint64_t stream_records_offset(int with_commit)
{
    return sizeof(RingControlC) + (with_commit ? round_up(sizeof(CommitCellC), CACHE_LINE) : 0);
}

static inline uint64_t stream_data_bytes(uint64_t capacity, uint64_t record_size, int with_commit)
{
    return stream_records_offset(with_commit) + capacity * record_size;
}

/* Look at a mapped segment; 0 when its header does not fit what is mapped. */
static inline int stream_view(Stream *stream, void *segment, uint64_t mapped_bytes, int with_commit)
{
    const SegmentHeaderC *header = (const SegmentHeaderC *)segment;
    uint8_t *data = (uint8_t *)segment + DATA_OFFSET;
    uint64_t capacity, record_size, expected = with_commit ? sizeof(TickC) : sizeof(EventC);
    if (mapped_bytes < DATA_OFFSET) return 0;
    capacity = header->capacity, record_size = header->record_size;
    if (record_size != expected || capacity < 2 * UNIT_RECORDS || capacity > mapped_bytes) return 0;
    if (DATA_OFFSET + stream_data_bytes(capacity, record_size, with_commit) > mapped_bytes) return 0;
    stream->control = (RingControlC *)(void *)data;
    stream->commit = with_commit ? (CommitCellC *)(void *)(data + sizeof(RingControlC)) : 0;
    stream->records = data + stream_records_offset(with_commit);
    stream->capacity = capacity;
    stream->record_size = record_size;
    return 1;
}

static inline uint8_t *stream_slot(const Stream *stream, uint64_t sequence)
{
    return stream->records + remainder_of(sequence, stream->capacity) * stream->record_size;
}

/* Give up what a unit's worth of records beyond `tail` would overwrite, before the first slot is
 * written; never backwards, also when a successor repeats a unit that its predecessor had begun. */
static inline void stream_retire(const Stream *stream, uint64_t tail)
{
    uint64_t oldest = load_relaxed(&stream->control->oldest);
    if (tail + UNIT_RECORDS > oldest + stream->capacity)
        store_relaxed(&stream->control->oldest, tail + UNIT_RECORDS - stream->capacity);
    fence_release(); /* readers learn what they lose before it is overwritten */
}

static inline void stream_publish(const Stream *stream, uint64_t tail)
{
    store_release(&stream->control->tail, tail);
}

static inline int stream_holds(const Stream *stream, uint64_t sequence)
{
    fence_acquire();
    return sequence >= load_relaxed(&stream->control->oldest);
}

/* Copy records [cursor, cursor + count) out; 1 when all of them held still. A count that no
 * stream of this capacity can hold comes from a tail that cannot be right, and copies nothing. */
static inline int stream_copy(const Stream *stream, uint64_t cursor, uint64_t count, void *target)
{
    uint64_t index = remainder_of(cursor, stream->capacity), first = stream->capacity - index;
    if (count > stream->capacity) return 0;
    if (first > count) first = count;
    shared_read(target, stream->records + index * stream->record_size, first * stream->record_size);
    shared_read((uint8_t *)target + first * stream->record_size, stream->records,
                (count - first) * stream->record_size);
    return stream_holds(stream, cursor);
}

#endif
