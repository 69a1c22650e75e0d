/* The frame ring: one writer that never waits, any number of readers that may be lapped.
 *
 *   header | oldest, tail | descriptor 0 .. capacity-1 | byte area |
 *
 * A sequence number *is* the index position: sequence s has descriptor s % capacity. Messages
 * begin 8-aligned in the byte area and never wrap. Before the writer touches anything it moves
 * `oldest` past every sequence whose descriptor or bytes it is about to lose; a reader's copy is
 * good when, after reading, its sequence is still >= oldest. The order ring and the text ring are
 * the same thing, smaller.
 *
 * Both words share a cache line that travels between writer and readers, which is what a message
 * costs most. So the writer publishes what one socket read brought at once (at most 32 messages
 * or 32 KiB), gives up a 64th of what the ring holds at a time, and a reader looks at the tail
 * again only when it has come to the one that it has seen.
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
    uint64_t tail;              /* the next sequence */
    uint64_t published;         /* the tail that readers see: what follows it is a batch under way */
    uint64_t oldest;
    uint64_t oldest_position;   /* of that message, if there is one */
    uint64_t position;          /* where the next message may begin, before it is moved to fit */
    uint64_t offset;            /* position % area_bytes, or area_bytes itself */
    uint64_t slot;              /* tail % capacity */
    uint64_t batch_position;    /* where the batch under way begins */
    uint64_t batch_messages_max;
    uint64_t batch_bytes_max;
} FrameRingWriter;

typedef struct {
    FrameRing ring;
    uint64_t cursor;
    uint64_t tail_seen;         /* everything below is published, whatever came since */
    uint64_t index_lap;         /* sequence of the index's first entry, in the lap last looked at */
    uint64_t area_lap;          /* position of the area's first byte, in the lap last looked at */
} FrameRingReader;

#define FRAME_BATCH_MESSAGES 32u
#define FRAME_BATCH_BYTES 32768u
#define FRAME_RETIRE_PART 64u

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

static inline uint64_t frame_ring_own_position(const FrameRingWriter *writer, uint64_t sequence)
{
    return writer->ring.index[remainder_of(sequence, writer->ring.capacity)].position;
}

/* A batch is so small against the ring that the newest published message outlives it. */
static inline void frame_ring_limit_batches(FrameRingWriter *writer)
{
    uint64_t messages = writer->ring.capacity / 4, bytes = writer->ring.area_bytes / 8;
    writer->batch_messages_max = messages < FRAME_BATCH_MESSAGES ? messages : FRAME_BATCH_MESSAGES;
    writer->batch_bytes_max = bytes < FRAME_BATCH_BYTES ? bytes : FRAME_BATCH_BYTES;
}

/* Take over at the tail, as the first writer or as the successor of a dead one. */
static inline void frame_ring_writer_open(FrameRingWriter *writer, const FrameRing *ring)
{
    writer->ring = *ring;
    writer->tail = writer->published = load_acquire(&ring->control->tail);
    writer->oldest = load_relaxed(&ring->control->oldest);
    writer->oldest_position = writer->position = 0;
    if (writer->oldest < writer->tail) { /* equal only in a ring that was never written */
        const FrameDescriptorC *last = &ring->index[remainder_of(writer->tail - 1, ring->capacity)];
        writer->position = round_up(last->position + last->length, 8);
        writer->oldest_position = frame_ring_own_position(writer, writer->oldest);
    }
    writer->offset = writer->position % ring->area_bytes;
    writer->slot = remainder_of(writer->tail, ring->capacity);
    writer->batch_position = writer->position;
    frame_ring_limit_batches(writer);
}

/* The first sequence to survive a message that ends at `end`; a few more are given up along with
 * those that must go, but never the newest that is published. */
static inline uint64_t frame_ring_survivor(const FrameRingWriter *writer, uint64_t end)
{
    const uint64_t capacity = writer->ring.capacity, area_bytes = writer->ring.area_bytes;
    uint64_t oldest = writer->oldest, ahead;
    int full = writer->tail - oldest >= capacity;
    int overwritten = end > area_bytes && oldest < writer->tail && writer->oldest_position < end - area_bytes;
    if (!full && !overwritten) return oldest;
    if (full) oldest = writer->tail + 1 - capacity;
    ahead = writer->oldest + (writer->tail - writer->oldest) / FRAME_RETIRE_PART;
    if (ahead > oldest && ahead < writer->published) oldest = ahead;
    if (end > area_bytes)
        while (oldest < writer->tail && frame_ring_own_position(writer, oldest) < end - area_bytes) oldest++;
    return oldest;
}

/* Make room for a message and return where its bytes go; 0 when it is too long. */
static inline uint8_t *frame_ring_reserve(FrameRingWriter *writer, uint64_t length)
{
    FrameRing *ring = &writer->ring;
    uint64_t oldest;
    if (length > frame_ring_message_bytes_max(ring)) return 0;
    if (writer->offset + length > ring->area_bytes) {
        writer->position += ring->area_bytes - writer->offset;
        writer->offset = 0;
    }
    oldest = frame_ring_survivor(writer, writer->position + length);
    CRASH_POINT(frame_before_oldest);
    if (oldest != writer->oldest) {
        store_relaxed(&ring->control->oldest, oldest);
        fence_release(); /* readers learn what they lose before it is overwritten */
        writer->oldest = oldest;
        writer->oldest_position = frame_ring_own_position(writer, oldest);
    }
    CRASH_POINT(frame_after_oldest);
    return ring->area + writer->offset;
}

/* Let readers see the batch under way. */
static inline void frame_ring_flush(FrameRingWriter *writer)
{
    if (writer->published == writer->tail) return;
    store_release(&writer->ring.control->tail, writer->tail);
    writer->published = writer->tail;
    writer->batch_position = writer->position;
    CRASH_POINT(frame_after_tail);
}

/* Add the reserved message to the batch; `descriptor` carries everything but its position. */
static inline void frame_ring_put(FrameRingWriter *writer, const FrameDescriptorC *descriptor)
{
    FrameRing *ring = &writer->ring;
    FrameDescriptorC entry = *descriptor;
    uint64_t bytes = round_up(entry.length, 8);
    entry.position = writer->position;
    entry._pad = 0;
    CRASH_POINT(frame_after_bytes);
    shared_write(&ring->index[writer->slot], &entry, sizeof entry);
    CRASH_POINT(frame_after_descriptor);
    if (writer->oldest == writer->tail) writer->oldest_position = entry.position;
    writer->position += bytes;
    writer->offset += bytes;
    writer->tail++;
    if (++writer->slot == ring->capacity) writer->slot = 0;
    if (writer->tail - writer->published >= writer->batch_messages_max ||
        writer->position - writer->batch_position >= writer->batch_bytes_max)
        frame_ring_flush(writer);
}

/* Add one binary or text message to the batch. Returns 1, or 0 when it is too long for the ring. */
static inline int frame_ring_add(FrameRingWriter *writer, const uint8_t *bytes, uint64_t length,
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
    frame_ring_put(writer, &descriptor);
    return 1;
}

/* The same, and let readers see it. */
static inline int frame_ring_append(FrameRingWriter *writer, const uint8_t *bytes, uint64_t length,
                                    uint32_t connection_epoch, int64_t receive_ts_ns, int64_t receive_mono_ns)
{
    int taken = frame_ring_add(writer, bytes, length, connection_epoch, receive_ts_ns, receive_mono_ns);
    frame_ring_flush(writer);
    return taken;
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
    frame_ring_put(writer, &descriptor);
    frame_ring_flush(writer);
}

static inline int frame_ring_holds(const FrameRing *ring, uint64_t sequence)
{
    fence_acquire(); /* what was read before is read before this look at oldest */
    return sequence >= load_relaxed(&ring->control->oldest);
}

/* cursor % capacity and position % area_bytes: a division only once a lap. */
static inline uint64_t frame_ring_slot(FrameRingReader *reader)
{
    uint64_t slot = reader->cursor - reader->index_lap;
    if (slot < reader->ring.capacity) return slot;
    slot = remainder_of(reader->cursor, reader->ring.capacity);
    reader->index_lap = reader->cursor - slot;
    return slot;
}

static inline uint64_t frame_ring_offset(FrameRingReader *reader, uint64_t position)
{
    uint64_t offset = position - reader->area_lap;
    if (offset < reader->ring.area_bytes) return offset;
    offset = position % reader->ring.area_bytes;
    reader->area_lap = position - offset;
    return offset;
}

/* Look at the message under the cursor without moving on. The bytes stay in the ring: whoever
 * uses them asks frame_ring_holds() afterwards. A descriptor that cannot be right counts as
 * lapped, so that no content of the segment can make a reader leave its map. */
static inline int frame_ring_peek(FrameRingReader *reader, FrameDescriptorC *descriptor, const uint8_t **bytes)
{
    const FrameRing *ring = &reader->ring;
    uint64_t offset;
    if (reader->cursor >= reader->tail_seen) {
        reader->tail_seen = load_acquire(&ring->control->tail);
        if (reader->cursor >= reader->tail_seen) return RING_EMPTY;
    }
    shared_read(descriptor, &ring->index[frame_ring_slot(reader)], sizeof *descriptor);
    if (!frame_ring_holds(ring, reader->cursor)) return RING_LAPPED;
    offset = frame_ring_offset(reader, descriptor->position);
    if (descriptor->length > ring->area_bytes || offset + descriptor->length > ring->area_bytes) return RING_LAPPED;
    *bytes = ring->area + offset;
    return RING_READY;
}

/* Where a lapped reader goes on: a quarter into what is left, so that it is not lapped at once;
 * always past the cursor, so that a descriptor that cannot be right costs one message. A tail
 * further from `oldest` than the ring is long cannot be right either: nothing before it is taken,
 * where one message after the other would be refused for ever. */
static inline uint64_t ring_resume_sequence(const RingControlC *control, uint64_t capacity, uint64_t cursor)
{
    uint64_t tail = load_acquire(&control->tail), oldest, resume;
    fence_acquire();
    oldest = load_relaxed(&control->oldest);
    if (tail < oldest) tail = oldest; /* the writer went on between the two looks */
    resume = tail - oldest > capacity ? tail : oldest + (tail - oldest) / 4;
    return resume > cursor ? resume : cursor + 1;
}

#endif
