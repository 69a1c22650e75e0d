"""Frame rings for Cython: `FrameRingWriter.writer` is what C code appends to."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from ext.layout cimport FrameDescriptorC, RingControlC
from ext.mapping cimport Mapping


cdef extern from "ring.h" nogil:
    enum:
        RING_EMPTY
        RING_READY
        RING_LAPPED
    ctypedef struct FrameRing:
        RingControlC *control
        FrameDescriptorC *index
        uint8_t *area
        uint64_t capacity
        uint64_t area_bytes
    ctypedef struct FrameRingWriterC "FrameRingWriter":
        FrameRing ring
        uint64_t tail
        uint64_t oldest
    ctypedef struct FrameRingReaderC "FrameRingReader":
        FrameRing ring
        uint64_t cursor
    uint64_t frame_ring_data_bytes(uint64_t capacity, uint64_t area_bytes)
    int frame_ring_view(FrameRing *ring, void *segment, uint64_t mapped_bytes)
    uint64_t frame_ring_message_bytes_max(const FrameRing *ring)
    void frame_ring_writer_open(FrameRingWriterC *writer, const FrameRing *ring)
    int frame_ring_append(
        FrameRingWriterC *writer, const uint8_t *data, uint64_t length, uint32_t connection_epoch,
        int64_t receive_ts_ns, int64_t receive_mono_ns)
    int frame_ring_add(
        FrameRingWriterC *writer, const uint8_t *data, uint64_t length, uint32_t connection_epoch,
        int64_t receive_ts_ns, int64_t receive_mono_ns)
    void frame_ring_flush(FrameRingWriterC *writer)
    void frame_ring_append_state(
        FrameRingWriterC *writer, uint8_t state, uint8_t reason, int64_t detail,
        uint32_t connection_epoch, int64_t ts_ns, int64_t mono_ns)
    int frame_ring_peek(
        FrameRingReaderC *reader, FrameDescriptorC *descriptor, const uint8_t **data)
    int frame_ring_holds(const FrameRing *ring, uint64_t sequence)
    uint64_t ring_resume_sequence(const RingControlC *control, uint64_t capacity, uint64_t cursor)


cdef class FrameRingWriter:
    cdef Mapping mapping
    cdef FrameRingWriterC writer


cdef class FrameRingReader:
    cdef Mapping mapping
    cdef FrameRingReaderC reader
    cdef readonly uint64_t lost
    cdef _resume(self)
