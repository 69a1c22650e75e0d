"""Broker frames -> tick records, called from Python: for one frame, for tests, for benchmarks.

Floor 0. The decoder process does not come through here: it calls the same C functions on memory
that it has mapped. Nothing in this module needs shared memory.
"""
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

import numpy as np

from ext.layout import dtypes, tick_dtype

from ext.layout cimport CACHE_LINE, UNIT_RECORDS, AssignmentC, DecodeCountersC, TickC

# The smallest packet that becomes a record, with its length before it.
cdef enum:
    KITE_COUNT_SIZE = 2
    KITE_SMALLEST_PACKET = 10


cdef object _new_ticks(size_t count, TickC **first):
    """A new (count,) array and the address of its memory, which stays as long as the array."""
    cdef Py_buffer view
    ticks = np.empty(count, tick_dtype)
    PyObject_GetBuffer(ticks, &view, PyBUF_SIMPLE)
    first[0] = <TickC *>view.buf
    PyBuffer_Release(&view)
    return ticks


cdef object _new_ring(size_t count, TickC **first):
    """The same on cache lines, as the records of a stream lie."""
    memory = np.empty((count + 1) * sizeof(TickC), np.uint8)
    offset = -memory.ctypes.data % CACHE_LINE
    ticks = memory[offset:offset + count * sizeof(TickC)].view(tick_dtype)
    first[0] = <TickC *><size_t>ticks.ctypes.data
    return ticks


cdef size_t _most_ticks(const uint8_t *frame, size_t size) noexcept nogil:
    """How many records the frame can become at most, whatever its count says."""
    cdef size_t count, room
    if size <= KITE_COUNT_SIZE:
        return 0
    count = frame[0] << 8 | frame[1]
    room = (size - KITE_COUNT_SIZE) // KITE_SMALLEST_PACKET
    return count if count < room else room


cdef void _decode_whole(DecodeUnit *unit) noexcept nogil:
    """Run units until the frame is finished; every token is accepted."""
    decode_unit_begin(unit)
    while decode_kite(unit) == DECODE_MORE:
        decode_unit_begin(unit)


def decode_frame_kite(frame, *, int64_t receive_ts_ns=0, int64_t receive_mono_ns=0,
                      uint64_t source_sequence=0, uint16_t connection=0,
                      uint32_t connection_epoch=0, uint64_t first_sequence=0, bint portable=False):
    """Decode one Kite frame, as received, into a new (n,) tick_dtype array.

    frame: any contiguous bytes-like object; it is copied from, not kept. Every complete packet of
    a known size becomes a record, in order; a heartbeat gives none, and what follows a fault is
    left out. The keywords are stamped into the records; `sequence` counts from first_sequence.
    Without a receive time, times in the future are not flagged. portable: use no vector
    instructions; the result is the same.
    """
    cdef Py_buffer view
    cdef DecodeUnit unit
    cdef DecodeCountersC counters
    cdef FrameStamp stamp
    PyObject_GetBuffer(frame, &view, PyBUF_SIMPLE)
    try:
        memset(&unit, 0, sizeof(unit))
        memset(&counters, 0, sizeof(counters))
        unit.capacity = _most_ticks(<const uint8_t *>view.buf, view.len)
        ticks = _new_ticks(unit.capacity, &unit.records)
        if unit.capacity == 0:
            return ticks
        unit.next_sequence = first_sequence
        unit.portable = portable
        unit.counters = &counters
        stamp.receive_ts_ns = receive_ts_ns
        stamp.receive_mono_ns = receive_mono_ns
        stamp.source_sequence = source_sequence
        stamp.connection = connection
        stamp.connection_epoch = connection_epoch
        decode_frame_begin(&unit, <const uint8_t *>view.buf, view.len, stamp, 0, 0)
        with nogil:
            _decode_whole(&unit)
    finally:
        PyBuffer_Release(&view)
    # A fresh copy where packets were skipped, so that no unwritten record stays reachable.
    return ticks if counters.ticks_out == ticks.shape[0] else ticks[:counters.ticks_out].copy()


cdef class KiteDecoder:
    """Decode frames unit by unit, as a decoder process does, in private memory.

    capacity: records of the destination ring. slot_count: slots of the latest table; 0 accepts
    every token and compares no tick with an earlier one. portable: use no vector instructions.
    Not thread-safe.
    """

    cdef DecodeUnit _unit
    cdef DecodeCountersC _counters
    cdef TokenMap _tokens
    cdef TickBase *_bases
    cdef uint32_t _slot_count
    cdef object _records

    def __cinit__(self, *, uint64_t capacity=4096, uint32_t slot_count=0, bint portable=False):
        if capacity == 0:
            raise ValueError("capacity is 0; expected at least 1 record")
        memset(&self._unit, 0, sizeof(self._unit))
        memset(&self._counters, 0, sizeof(self._counters))
        memset(&self._tokens, 0, sizeof(self._tokens))
        self._bases = NULL
        self._slot_count = slot_count
        self._records = _new_ring(capacity, &self._unit.records)
        self._unit.capacity = capacity
        self._unit.portable = portable
        self._unit.counters = &self._counters
        if slot_count == 0:
            return
        self._bases = <TickBase *>calloc(slot_count, sizeof(TickBase))
        if self._bases is NULL or token_map_init(&self._tokens, slot_count) != 0:
            raise MemoryError(f"no memory for {slot_count} slots")
        self._unit.bases = self._bases
        self._unit.tokens = &self._tokens

    def __dealloc__(self):
        free(self._bases)
        token_map_free(&self._tokens)

    @property
    def counters(self):
        """The counters so far, {name: count}."""
        return dict(self._counters)

    @property
    def records(self):
        """The destination ring itself, a read-only (capacity,) tick_dtype view."""
        view = self._records.view()
        view.flags.writeable = False
        return view

    @property
    def position(self):
        """(packet_index, packet_offset) of the next packet."""
        return self._unit.packet_index, self._unit.packet_offset

    def assign(self, rows, *, int64_t now_mono_ns=0, int64_t grace_ns=2_000_000_000):
        """Replace the assignment; return (active, retired, rejected) counts of tokens.

        rows: (n,) array of the AssignmentC dtype. What it lacks and the map had stays known as
        unsubscribed until now_mono_ns + grace_ns.
        """
        if self._slot_count == 0:
            raise ValueError("slot_count is 0: this decoder accepts every token")
        copied = np.ascontiguousarray(rows, dtype=dtypes["AssignmentC"])
        cdef size_t address = copied.ctypes.data
        if token_map_assign(&self._tokens, <const AssignmentC *>address, copied.shape[0],
                            self._slot_count, now_mono_ns, grace_ns) != 0:
            raise MemoryError(f"no memory for {copied.shape[0]} tokens")
        return self._tokens.active, self._tokens.retired, self._tokens.rejected

    def slot_of(self, uint32_t instrument_token):
        """The slot of an assigned token, or None."""
        cdef const TokenEntry *entry = NULL
        if self._slot_count:
            entry = token_map_find(&self._tokens, instrument_token)
        return None if entry is NULL else entry.slot

    def decode_unit(self, frame, *, uint32_t packet_index=0, uint32_t packet_offset=0,
                    int64_t receive_ts_ns=0, int64_t receive_mono_ns=0, uint64_t source_sequence=0,
                    uint16_t connection=0, uint32_t connection_epoch=0, bint assignment_current=False):
        """Decode one unit from a position; return (status, ticks, slots).

        status: DecodeStatus. ticks: (n,) copies of the records written, n <= 256. slots: (n,) u4.
        `position` tells where to go on.
        """
        cdef Py_buffer view
        cdef FrameStamp stamp
        cdef DecodeStatus status
        cdef uint64_t first = self._unit.next_record
        stamp.receive_ts_ns = receive_ts_ns
        stamp.receive_mono_ns = receive_mono_ns
        stamp.source_sequence = source_sequence
        stamp.connection = connection
        stamp.connection_epoch = connection_epoch
        PyObject_GetBuffer(frame, &view, PyBUF_SIMPLE)
        try:
            decode_frame_begin(&self._unit, <const uint8_t *>view.buf, view.len, stamp,
                               packet_index, packet_offset)
            self._unit.assignment_current = assignment_current
            decode_unit_begin(&self._unit)
            with nogil:
                status = decode_kite(&self._unit)
        finally:
            self._unit.frame = NULL
            PyBuffer_Release(&view)
        indices = (np.arange(self._unit.record_count, dtype=np.uint64) + first) % self._unit.capacity
        slots = np.array([self._unit.slots[i] for i in range(self._unit.record_count)], np.uint32)
        return status, self._records[indices], slots

    def decode_frames(self, list frames not None):
        """Decode a list of `bytes` frames into the ring, in one GIL-free pass; return the ticks.

        Unknown tokens are dropped. Older records are overwritten. This is what a benchmark times.
        """
        cdef size_t count = len(frames), i
        cdef uint64_t before = self._counters.ticks_out
        cdef const uint8_t **data = <const uint8_t **>calloc(count + 1, sizeof(uint8_t *))
        cdef size_t *sizes = <size_t *>calloc(count + 1, sizeof(size_t))
        cdef bytes frame
        try:
            if data is NULL or sizes is NULL:
                raise MemoryError(f"no memory for {count} frames")
            for i in range(count):
                frame = frames[i]
                data[i] = <const uint8_t *>frame
                sizes[i] = len(frame)
            with nogil:
                self._decode_frames(data, sizes, count)
        finally:
            free(data)
            free(sizes)
        return self._counters.ticks_out - before

    cdef void _decode_frames(self, const uint8_t **data, const size_t *sizes, size_t count) noexcept nogil:
        cdef FrameStamp stamp
        cdef size_t i
        memset(&stamp, 0, sizeof(stamp))
        for i in range(count):
            stamp.source_sequence = i
            decode_frame_begin(&self._unit, data[i], sizes[i], stamp, 0, 0)
            self._unit.assignment_current = True
            _decode_whole(&self._unit)
