/* The frame ring: one writer that never waits, any number of readers that may be lapped.
 *
 *   header | oldest, tail | descriptor 0 .. capacity-1 | byte area |
 *
 * A sequence number *is* the index position: sequence s has descriptor s % capacity. Messages
 * begin 8-aligned in the byte area and never wrap. Before the writer touches anything it moves
 * `oldest` past every sequence whose descriptor or bytes it is about to lose; a reader's copy is
 * good when, after reading, its sequence is still >= oldest. The order ring and the text ring are
 * the same thing, smaller.
 */
#ifndef PIPELINE_RING_H
#define PIPELINE_RING_H

#include "atomics.h"
#include "crash.h"
#include "layout.h"

enum RingStatus { RING_EMPTY = 0, RING_READY = 1, RING_LAPPED = 2 };

typedef struct {
    RingControlC *control;
    FrameDescriptorC *index;
    uint8_t *area;
    uint64_t capacity;
    uint64_t area_bytes;
} FrameRing;

typedef struct {
    FrameRing ring;
    uint64_t tail;
    uint64_t oldest;
    uint64_t position; /* where the next message may begin, before it is moved to fit */
    uint64_t reserved_position;
} FrameRingWriter;

typedef struct {
    FrameRing ring;
    uint64_t cursor;
} FrameRingReader;

static inline uint64_t frame_ring_data_bytes(uint64_t capacity, uint64_t area_bytes)
{
    return sizeof(RingControlC) + round_up(capacity * sizeof(FrameDescriptorC), CACHE_LINE) + area_bytes;
}

/* Look at a mapped segment; 0 when its header does not fit what is mapped. */
static inline int frame_ring_view(FrameRing *ring, void *segment, uint64_t mapped_bytes)
{
    const SegmentHeaderC *header = (const SegmentHeaderC *)segment;
    uint8_t *data = (uint8_t *)segment + DATA_OFFSET;
    uint64_t capacity, area_bytes;
    if (mapped_bytes < DATA_OFFSET) return 0;
    capacity = header->capacity, area_bytes = header->area_bytes;
    if (capacity < 2 || capacity > mapped_bytes || area_bytes < 64 || area_bytes % 8 || area_bytes > mapped_bytes)
        return 0;
    if (DATA_OFFSET + frame_ring_data_bytes(capacity, area_bytes) > mapped_bytes) return 0;
    ring->control = (RingControlC *)(void *)data;
    ring->index = (FrameDescriptorC *)(void *)(data + sizeof(RingControlC));
    ring->area = data + sizeof(RingControlC) + round_up(capacity * sizeof(FrameDescriptorC), CACHE_LINE);
    ring->capacity = capacity;
    ring->area_bytes = area_bytes;
    return 1;
}

/* The longest message that a ring takes: with a quarter of the area, the newest message always
 * survives the next write, so that a successor finds its place from the last descriptor. */
static inline uint64_t frame_ring_message_bytes_max(const FrameRing *ring) { return ring->area_bytes / 4; }

/* Take over at the tail, as the first writer or as the successor of a dead one. */
static inline void frame_ring_writer_open(FrameRingWriter *writer, const FrameRing *ring)
{
    writer->ring = *ring;
    writer->tail = load_acquire(&ring->control->tail);
    writer->oldest = load_relaxed(&ring->control->oldest);
    writer->position = 0;
    if (writer->oldest < writer->tail) { /* equal only in a ring that was never written */
        const FrameDescriptorC *last = &ring->index[remainder_of(writer->tail - 1, ring->capacity)];
        writer->position = round_up(last->position + last->length, 8);
    }
}

/* Make room for a message and return where its bytes go; 0 when it is too long. */
static inline uint8_t *frame_ring_reserve(FrameRingWriter *writer, uint64_t length)
{
    FrameRing *ring = &writer->ring;
    uint64_t position = writer->position, oldest = writer->oldest;
    uint64_t offset = position % ring->area_bytes, end;
    if (length > frame_ring_message_bytes_max(ring)) return 0;
    if (offset + length > ring->area_bytes) {
        position += ring->area_bytes - offset;
        offset = 0;
    }
    end = position + length;
    if (writer->tail - oldest >= ring->capacity) oldest = writer->tail + 1 - ring->capacity;
    if (end > ring->area_bytes)
        while (oldest < writer->tail && ring->index[remainder_of(oldest, ring->capacity)].position < end - ring->area_bytes) oldest++;
    CRASH_POINT(frame_before_oldest);
    store_relaxed(&ring->control->oldest, oldest);
    fence_release(); /* readers learn what they lose before it is overwritten */
    CRASH_POINT(frame_after_oldest);
    writer->oldest = oldest;
    writer->reserved_position = position;
    return ring->area + offset;
}

/* Publish the reserved message; `descriptor` carries everything but its position. */
static inline void frame_ring_publish(FrameRingWriter *writer, const FrameDescriptorC *descriptor)
{
    FrameRing *ring = &writer->ring;
    FrameDescriptorC entry = *descriptor;
    entry.position = writer->reserved_position;
    entry._pad = 0;
    CRASH_POINT(frame_after_bytes);
    shared_write(&ring->index[remainder_of(writer->tail, ring->capacity)], &entry, sizeof entry);
    CRASH_POINT(frame_after_descriptor);
    writer->position = round_up(entry.position + entry.length, 8);
    writer->tail++;
    store_release(&ring->control->tail, writer->tail);
    CRASH_POINT(frame_after_tail);
}

/* Append one binary or text message. Returns 1, or 0 when it is too long for the ring. */
static inline int frame_ring_append(FrameRingWriter *writer, const uint8_t *bytes, uint64_t length,
                                    uint32_t connection_epoch, int64_t receive_ts_ns, int64_t receive_mono_ns)
{
    FrameDescriptorC descriptor = {0};
    uint8_t *target = frame_ring_reserve(writer, length);
    if (!target) return 0;
    shared_write(target, bytes, length);
    descriptor.length = (uint32_t)length;
    descriptor.kind = FRAME_MESSAGE;
    descriptor.connection_epoch = connection_epoch;
    descriptor.receive_ts_ns = receive_ts_ns;
    descriptor.receive_mono_ns = receive_mono_ns;
    frame_ring_publish(writer, &descriptor);
    return 1;
}

/* Append a state change: by the feed itself, or by the supervisor as heir of a dead feed. */
static inline void frame_ring_append_state(FrameRingWriter *writer, uint8_t state, uint8_t reason, int64_t detail,
                                           uint32_t connection_epoch, int64_t ts_ns, int64_t mono_ns)
{
    FrameDescriptorC descriptor = {0};
    frame_ring_reserve(writer, 0);
    descriptor.kind = FRAME_STATE;
    descriptor.state = state;
    descriptor.reason = reason;
    descriptor.detail = detail;
    descriptor.connection_epoch = connection_epoch;
    descriptor.receive_ts_ns = ts_ns;
    descriptor.receive_mono_ns = mono_ns;
    frame_ring_publish(writer, &descriptor);
}

static inline int frame_ring_holds(const FrameRing *ring, uint64_t sequence)
{
    fence_acquire(); /* what was read before is read before this look at oldest */
    return sequence >= load_relaxed(&ring->control->oldest);
}

/* Look at the message under the cursor without moving on. The bytes stay in the ring: whoever
 * uses them asks frame_ring_holds() afterwards. A descriptor that cannot be right counts as
 * lapped, so that no content of the segment can make a reader leave its map. */
static inline int frame_ring_peek(const FrameRingReader *reader, FrameDescriptorC *descriptor, const uint8_t **bytes)
{
    const FrameRing *ring = &reader->ring;
    uint64_t offset;
    if (reader->cursor >= load_acquire(&ring->control->tail)) return RING_EMPTY;
    shared_read(descriptor, &ring->index[remainder_of(reader->cursor, ring->capacity)], sizeof *descriptor);
    if (!frame_ring_holds(ring, reader->cursor)) return RING_LAPPED;
    offset = descriptor->position % ring->area_bytes;
    if (descriptor->length > ring->area_bytes || offset + descriptor->length > ring->area_bytes) return RING_LAPPED;
    *bytes = ring->area + offset;
    return RING_READY;
}

/* Where a lapped reader goes on: a quarter into what is left, so that it is not lapped at once;
 * always past the cursor, so that a descriptor that cannot be right costs one message. */
static inline uint64_t ring_resume_sequence(const RingControlC *control, uint64_t cursor)
{
    uint64_t tail = load_acquire(&control->tail), oldest, resume;
    fence_acquire();
    oldest = load_relaxed(&control->oldest);
    if (tail < oldest) tail = oldest; /* the writer went on between the two looks */
    resume = oldest + (tail - oldest) / 4;
    return resume > cursor ? resume : cursor + 1;
}

#endif
