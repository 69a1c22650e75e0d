"""Loops that only benchmarks run: a frame ring written and read as fast as it goes, a bare receiver,
a look at each tick for its predecessor.

Floor 0. A ring's writer never waits; to measure what arrives, this one stays within a window of
the reader's cursor, which the reader keeps in a word of its own.
"""
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memmove
from posix.time cimport (
    CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_REALTIME, clock_gettime, timespec)
from posix.types cimport clockid_t

from ext.cells cimport Bell
from ext.layout cimport BellC, DATA_OFFSET, FrameDescriptorC, TickC
from ext.mapping cimport Mapping
from ext.rings cimport (
    FrameRingReader, FrameRingWriter, RING_READY, frame_ring_add, frame_ring_flush,
    frame_ring_holds, frame_ring_peek)


cdef extern from "atomics.h" nogil:
    uint64_t load_acquire(const uint64_t *word)
    void store_release(uint64_t *word, uint64_t value)
    void cpu_pause()

cdef extern from "bell.h" nogil:
    void bell_ring(BellC *bell)

cdef extern from "<poll.h>" nogil:
    const short POLLIN

    cdef struct pollfd:
        int fd
        short events
        short revents

    int poll(pollfd *wanted, unsigned long count, int timeout_ms)

cdef extern from "<sys/socket.h>" nogil:
    const int MSG_DONTWAIT
    ssize_t recv(int fd, void *buffer, size_t size, int flags)

cdef extern from "<sched.h>" nogil:
    int sched_yield()

cdef extern from "<unistd.h>" nogil:
    int usleep(unsigned int microseconds)

cdef enum:
    SPINS_MAX = 4096      # before the core is left to whoever else wants it, the other end for one
    WINDOW_SLEEP_US = 20
    CURSOR_EVERY = 64     # messages between two stores of the cursor
    MESSAGE_BYTES_MAX = 65_536


cdef inline uint32_t _wait(uint32_t spins) noexcept nogil:
    if spins < SPINS_MAX:
        cpu_pause()
        return spins + 1
    sched_yield()
    return 0


cdef inline int64_t _clock_ns(clockid_t clock) noexcept nogil:
    cdef timespec now
    clock_gettime(clock, &now)
    return <int64_t>now.tv_sec * 1_000_000_000 + now.tv_nsec


cdef uint64_t *_word(Mapping mapping) except NULL:
    if not mapping.writable or mapping.size < DATA_OFFSET + sizeof(uint64_t):
        raise ValueError("a writable mapping with a word behind its header is needed")
    return <uint64_t *>(mapping.address + DATA_OFFSET)


def pump(
    FrameRingWriter writer not None, Mapping cursor not None, list messages not None, *,
    uint64_t count, uint64_t window, uint64_t batch=64, Bell bell=None,
):
    """Append `messages` in turn, `count` in all, never more than `window` ahead of the cursor.

    `batch` of them are published together, as the frames of one socket read are. Releases the
    GIL. The messages must fit the ring, `window` of them at once. With a `bell` it is rung after
    each batch, which has the time, as a feed does, and a full window is slept on.
    """
    cdef uint64_t *word = _word(cursor)
    cdef size_t kinds = len(messages), kind = 0, i
    cdef uint64_t done = 0, first = writer.writer.tail, seen = 0, upto
    cdef uint32_t spins = 0
    cdef bint rings = bell is not None
    cdef int64_t ts_ns = 0, mono_ns = 0
    cdef const uint8_t **data = <const uint8_t **>malloc(kinds * sizeof(uint8_t *))
    cdef size_t *sizes = <size_t *>malloc(kinds * sizeof(size_t))
    cdef bytes message
    try:
        if kinds == 0 or data is NULL or sizes is NULL:
            raise ValueError("no messages, or no memory for them")
        for i in range(kinds):
            message = messages[i]
            data[i], sizes[i] = <const uint8_t *>message, len(message)
        with nogil:
            while done < count:
                upto = min(done + batch, count)
                while first + upto - seen > window:
                    seen = load_acquire(word)
                    if first + upto - seen <= window:
                        break
                    if rings:
                        usleep(WINDOW_SLEEP_US)
                    else:
                        spins = _wait(spins)
                if rings:
                    ts_ns, mono_ns = _clock_ns(CLOCK_REALTIME), _clock_ns(CLOCK_MONOTONIC)
                while done < upto:
                    frame_ring_add(&writer.writer, data[kind], sizes[kind], 1, ts_ns, mono_ns)
                    kind = kind + 1 if kind + 1 < kinds else 0
                    done += 1
                frame_ring_flush(&writer.writer)
                if rings:
                    bell_ring(bell.bell)
    finally:
        free(data)
        free(sizes)


def drain(FrameRingReader reader not None, Mapping cursor not None, *, uint64_t count):
    """Copy `count` messages out, checked, and keep the cursor; return their bytes in all.

    Releases the GIL. Raises RuntimeError when the ring went on without this reader.
    """
    cdef uint64_t *word = _word(cursor)
    cdef uint64_t done = 0, total = 0
    cdef uint32_t spins = 0
    cdef FrameDescriptorC descriptor
    cdef const uint8_t *data = NULL
    cdef uint8_t *target = <uint8_t *>malloc(MESSAGE_BYTES_MAX)
    cdef bint lapped = False
    if target is NULL:
        raise MemoryError
    with nogil:
        while done < count and not lapped:
            if frame_ring_peek(&reader.reader, &descriptor, &data) != RING_READY:
                spins = _wait(spins)
                continue
            if descriptor.length > MESSAGE_BYTES_MAX:
                break
            memcpy(target, data, descriptor.length)
            lapped = not frame_ring_holds(&reader.reader.ring, reader.reader.cursor)
            total += descriptor.length
            reader.reader.cursor += 1
            done += 1
            if done % CURSOR_EVERY == 0 or done == count:
                store_release(word, reader.reader.cursor)
    free(target)
    if done < count or lapped:
        raise RuntimeError(f"lapped, or a message that is too long, after {done} messages")
    return total


def receive_bare(int fd, int64_t[::1] late_ns not None, *, size_t frame_bytes,
                 size_t stamp_at=0, Py_ssize_t skipped=0):
    """Receive frames of one size by poll and recv, and do nothing with them: what a feed that polls is not below.

    Fills `late_ns`, (frames,): the time of the read less the one in the frame's bytes from
    `stamp_at` on (monotonic, little-endian, ns). Returns the CPU in ns that this process took for
    all but the first `skipped` frames; raises EOFError at an early end.
    """
    cdef size_t room = max(<size_t>(256 << 10), 2 * frame_bytes), have = 0, at
    cdef Py_ssize_t done = 0
    cdef int64_t began_ns = -1
    cdef uint8_t *buffer
    if frame_bytes < stamp_at + sizeof(int64_t):
        raise ValueError("a frame ends before its stamp does")
    buffer = <uint8_t *>malloc(room)
    if buffer == NULL:
        raise MemoryError
    with nogil:
        while done < late_ns.shape[0] and _receive_some(fd, buffer, room, &have):
            at = 0
            while have - at >= frame_bytes and done < late_ns.shape[0]:
                late_ns[done] = _clock_ns(CLOCK_MONOTONIC) - _stamp(buffer + at + stamp_at)
                done += 1
                at += frame_bytes
            have -= at
            memmove(buffer, buffer + at, have)
            if began_ns < 0 and done >= skipped:
                began_ns = _clock_ns(CLOCK_PROCESS_CPUTIME_ID)
    free(buffer)
    if done < late_ns.shape[0]:
        raise EOFError(f"{done} of {late_ns.shape[0]} frames came")
    return _clock_ns(CLOCK_PROCESS_CPUTIME_ID) - began_ns


cdef int _receive_some(int fd, uint8_t *buffer, size_t room, size_t *have) noexcept nogil:
    """Wait for bytes and read them once; 0 at the end of the stream."""
    cdef pollfd wanted
    cdef ssize_t got
    wanted.fd, wanted.events = fd, POLLIN
    while poll(&wanted, 1, 50) <= 0:
        pass
    got = recv(fd, buffer + have[0], room - have[0], MSG_DONTWAIT)
    if got > 0:
        have[0] += got
    return got > 0


cdef inline int64_t _stamp(const uint8_t *bytes) noexcept nogil:
    cdef int64_t stamp
    memcpy(&stamp, bytes, sizeof(stamp))
    return stamp


cdef struct _Seen:
    uint32_t instrument_token   # 0: none yet
    uint32_t volume


cdef class Succession:
    """Whether each instrument's volumes count up by one, as a load exchange's do: none lost, none twice.

    Holds up to `instruments` of them, and of each the volume it had last: the proof of a run takes
    no memory by its length.
    """

    cdef _Seen *_seen
    cdef uint32_t _mask
    cdef uint32_t _room
    cdef readonly uint64_t faults

    def __cinit__(self, uint32_t instruments):
        cdef uint32_t capacity = 16
        if instruments > 1 << 24:
            raise ValueError(f"{instruments} instruments: expected up to {1 << 24}")
        while capacity < 2 * instruments:
            capacity *= 2
        self._mask = capacity - 1
        self._room = instruments
        self._seen = <_Seen *>calloc(capacity, sizeof(_Seen))
        if self._seen is NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self._seen)

    def take(self, ticks not None):
        """Look at a batch, (n,) tick_dtype, contiguous. Raises ValueError for more instruments."""
        cdef Py_buffer view
        cdef const TickC *tick
        cdef size_t i, count
        PyObject_GetBuffer(ticks, &view, PyBUF_SIMPLE)
        try:
            if view.len % sizeof(TickC):
                raise ValueError(f"{view.len} bytes are no ticks of {sizeof(TickC)}")
            tick, count = <const TickC *>view.buf, view.len // sizeof(TickC)
            for i in range(count):
                if not self._look(tick[i].instrument_token, <uint32_t>tick[i].volume_traded):
                    raise ValueError("more instruments than were said")
        finally:
            PyBuffer_Release(&view)

    cdef inline bint _look(self, uint32_t token, uint32_t volume) noexcept nogil:
        cdef uint32_t i = (token * <uint32_t>0x9E3779B1) >> 7 & self._mask
        while self._seen[i].instrument_token and self._seen[i].instrument_token != token:
            i = (i + 1) & self._mask
        if self._seen[i].instrument_token == 0:
            if self._room == 0:
                return False
            self._room -= 1
            self._seen[i].instrument_token = token
        elif volume != self._seen[i].volume + 1:
            self.faults += 1
        self._seen[i].volume = volume
        return True
