"""Reading the tick and event streams of any number of connections; see stream_reader.h.

Floor 0. A poll copies and checks with the GIL released; a wait releases it too and ends within
100 ms or at a signal. Whoever holds the reader turns its notices into objects of its own.
"""
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

import os

from numpy import ndarray

from ext.layout import tick_dtype

from ext.layout cimport (
    BellC, CursorC, DATA_OFFSET, EventC, LatestSlotC, READER_CURSORS, ReaderC, TickC, UNIT_RECORDS)
from ext.mapping cimport Mapping
from ext.rings cimport FrameRingReader, FrameRingReaderC


cdef extern from "<unistd.h>" nogil:
    int getpid()

cdef extern from "cell.h" nogil:
    int cell_try_read(const void *cell, void *value, uint64_t copy_bytes, uint64_t *version)
    void cpu_pause()

cdef extern from "stream_reader.h" nogil:
    cpdef enum ReaderPolicy:
        READER_RESUME
        READER_SKIP
        READER_RAISE
    cpdef enum NoticeKind:
        NOTICE_EVENT
        NOTICE_TICKS_LOST
        NOTICE_EVENTS_LOST
    cpdef enum ReaderWait:
        WAIT_OVER
        WAIT_NEWS
        WAIT_STOPPED
    ctypedef struct RingStreamC "Stream":
        uint64_t capacity
    ctypedef struct ReaderNoticeC "ReaderNotice":
        EventC event
        uint64_t sequence
        uint64_t lost
        uint32_t kind
        uint32_t connection
    ctypedef struct ReaderStreamC "ReaderStream":
        RingStreamC ticks
        RingStreamC events
        const FrameRingReaderC *orders
        CursorC *row
        uint64_t cursor
        uint64_t event_cursor
        int64_t last_receive_ts_ns
        int64_t last_receive_mono_ns
        uint32_t connection
        uint32_t has_pending
    ctypedef struct NapsC "Naps":
        int64_t nap_ns
    int64_t NAP_NS_MAX
    ctypedef struct StreamReaderC "StreamReader":
        ReaderStreamC *streams
        uint32_t count
        uint32_t first
        TickC *target
        uint64_t room
        int64_t *frame_mono_ns
        ReaderC *page
        BellC *bell
        int64_t spin_ns
        NapsC naps
        uint32_t policy
        uint32_t stop
        uint32_t watch_orders
        uint32_t notice_count
        ReaderNoticeC *notices
    int stream_view(RingStreamC *stream, void *segment, uint64_t mapped_bytes, int with_commit)
    void reader_begin_now(ReaderStreamC *stream)
    void reader_begin_oldest(ReaderStreamC *stream)
    void reader_begin_at(ReaderStreamC *stream, uint64_t cursor, uint64_t event_cursor)
    uint64_t reader_poll(StreamReaderC *reader)
    uint64_t reader_view(StreamReaderC *reader, ReaderStreamC *stream, uint64_t *sequence)
    uint64_t reader_view_lost(StreamReaderC *reader, ReaderStreamC *stream, uint64_t sequence, uint64_t count)
    int reader_wait(StreamReaderC *reader, int64_t only, int64_t timeout_ns)
    void bell_ring(BellC *bell)

cdef extern from *:
    """
    #define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
    #include <numpy/ndarraytypes.h>
    """
    ctypedef struct PyArrayObject:
        pass
    Py_ssize_t *PyArray_DIMS(PyArrayObject *array)

cdef extern from *:
    """
    static inline void reader_set_stop(StreamReader *reader, uint32_t stop)
    {
        __atomic_store_n(&reader->stop, stop, __ATOMIC_RELEASE);
    }
    """
    void reader_set_stop(StreamReaderC *reader, uint32_t stop) nogil


cdef enum:
    LATEST_ATTEMPTS = 100_000


cdef void *_data(Mapping mapping, uint64_t size, bint write) except NULL:
    if mapping.size < DATA_OFFSET or size > mapping.size - DATA_OFFSET:
        raise ValueError(f"a segment of {mapping.size} bytes, expected {size} behind the header")
    if write and not mapping.writable:
        raise ValueError("the mapping is read-only")
    return mapping.address + DATA_OFFSET


cdef class StreamReader:
    """One reader: its cursors, its buffer, and what it takes over with each poll.

    target: (n,) tick_dtype array, C-contiguous, n >= 256; polls overwrite it from its beginning.
    bell: the instance's bell, mapped writable. page: the reader's own page, mapped writable; its
    cursor rows, counters and latency histogram are kept by this class (None: in private memory).
    One thread at a time polls or waits, in the process that made the reader; `stop` may be
    called from anywhere.
    """
    cdef StreamReaderC reader
    cdef object target
    cdef object spare  # the whole target as an array that nobody has seen, or None
    cdef Mapping bell
    cdef Mapping page
    cdef ReaderC *private_page
    cdef dict segments  # connection: the objects whose memory its pointers look into
    cdef int pid
    cdef bint busy
    cdef int64_t polled  # ticks of a poll that a wait has done already, or -1

    def __cinit__(
        self, target not None, Mapping bell not None, Mapping page=None, *, int policy=READER_RESUME,
        int64_t spin_ns=0, int64_t nap_ns=0,
    ):
        if (type(target) is not ndarray or target.dtype != tick_dtype or target.ndim != 1
                or not target.flags.c_contiguous):
            raise ValueError("target: expected a one-dimensional, contiguous array of tick_dtype")
        if len(target) < UNIT_RECORDS or not target.flags.writeable:
            raise ValueError(f"target: {len(target)} records, expected {UNIT_RECORDS} or more, writable")
        if not 0 <= nap_ns <= NAP_NS_MAX:
            raise ValueError(f"nap_ns {nap_ns}: expected 0 to {NAP_NS_MAX}")
        cdef size_t address = target.ctypes.data
        self.target = target
        self.segments = {}
        self.pid = getpid()
        self.polled = -1
        self.reader.target = <TickC *>address
        self.reader.room = len(target)
        self.reader.bell = <BellC *>_data(bell, sizeof(BellC), True)
        self.bell = bell
        self.page = page
        if page is None:
            self.private_page = <ReaderC *>PyMem_Calloc(1, sizeof(ReaderC))
            self.reader.page = self.private_page
        else:
            self.reader.page = <ReaderC *>_data(page, sizeof(ReaderC), True)
        self.reader.streams = <ReaderStreamC *>PyMem_Calloc(READER_CURSORS, sizeof(ReaderStreamC))
        self.reader.frame_mono_ns = <int64_t *>PyMem_Calloc(len(target), sizeof(int64_t))
        if self.reader.page == NULL or self.reader.streams == NULL or self.reader.frame_mono_ns == NULL:
            raise MemoryError
        self.reader.policy = policy
        self.reader.spin_ns = spin_ns
        self.reader.naps.nap_ns = nap_ns
        self.reader.page.policy = policy

    def __dealloc__(self):
        PyMem_Free(self.reader.streams)
        PyMem_Free(self.reader.frame_mono_ns)
        PyMem_Free(self.private_page)

    cdef int _enter(self) except -1:
        if getpid() != self.pid:
            raise RuntimeError(
                f"this reader belongs to process {self.pid} and this is {os.getpid()}, forked from it: "
                "attach again in the child")
        if self.busy:
            raise RuntimeError("another thread is reading with this reader: attach once per thread")
        self.busy = True
        return 0

    cdef ReaderStreamC *_find(self, uint32_t connection) except NULL:
        cdef uint32_t i
        for i in range(self.reader.count):
            if self.reader.streams[i].connection == connection:
                return &self.reader.streams[i]
        raise KeyError(connection)

    cdef CursorC *_row(self, uint32_t connection) except NULL:
        """A row of the page: the next free one, or one that a removed connection had."""
        cdef uint32_t i, count = self.reader.page.cursor_count
        cdef CursorC *row = NULL
        if count < READER_CURSORS:
            row = &self.reader.page.cursors[count]
        else:
            for i in range(READER_CURSORS):
                if self.reader.page.cursors[i].connection not in self.segments:
                    row = &self.reader.page.cursors[i]
                    break
        if row == NULL:
            raise ValueError(f"a reader follows at most {READER_CURSORS} connections")
        memset(row, 0, sizeof(CursorC))
        row.connection = connection
        return row

    def add(
        self, uint32_t connection, Mapping ticks not None, Mapping events not None, *,
        bint oldest=False, begin=None, FrameRingReader orders=None,
    ):
        """Follow a connection: from what is published next, or from the oldest safe tick on.

        `begin` is a (tick, event) cursor to go on at instead: what is gone by then is told as lost.

        `orders` is only watched: a wait ends when its ring has news, if `watch_orders` is set.
        """
        cdef ReaderStreamC *stream = NULL
        self._enter()
        try:
            if connection in self.segments:
                raise ValueError(f"connection {connection} is being read already")
            if self.reader.count == READER_CURSORS:
                raise ValueError(f"a reader follows at most {READER_CURSORS} connections")
            stream = &self.reader.streams[self.reader.count]
            memset(stream, 0, sizeof(ReaderStreamC))
            if not stream_view(&stream.ticks, ticks.address, ticks.size, 1):
                raise ValueError(f"no tick stream fits this segment of {ticks.size} bytes")
            if not stream_view(&stream.events, events.address, events.size, 0):
                raise ValueError(f"no event stream fits this segment of {events.size} bytes")
            stream.connection = connection
            if begin is not None:
                reader_begin_at(stream, begin[0], begin[1])
            elif oldest:
                reader_begin_oldest(stream)
            else:
                reader_begin_now(stream)
            stream.orders = &orders.reader if orders is not None else NULL
            stream.row = self._row(connection)
            stream.row.cursor = stream.cursor
            if stream.row == &self.reader.page.cursors[self.reader.page.cursor_count]:
                self.reader.page.cursor_count += 1  # last: now the row counts
            self.segments[connection] = (ticks, events, orders)
            self.reader.count += 1
        finally:
            self.busy = False

    def remove(self, uint32_t connection):
        """Stop following a connection; its row stays in the page."""
        cdef ReaderStreamC *stream = NULL
        self._enter()
        try:
            stream = self._find(connection)
            self.reader.count -= 1
            stream[0] = self.reader.streams[self.reader.count]
            self.reader.first = 0
            del self.segments[connection]
        finally:
            self.busy = False

    @property
    def connections(self):
        """The numbers of the connections that are followed."""
        return sorted(self.segments)

    @property
    def watch_orders(self):
        """Whether a wait ends at news of an order ring too."""
        return bool(self.reader.watch_orders)

    @watch_orders.setter
    def watch_orders(self, bint watch):
        self.reader.watch_orders = watch

    def event_cursor(self, uint32_t connection):
        """Return the sequence of the next event that a poll hands out."""
        return self._find(connection).event_cursor

    def position(self, uint32_t connection):
        """Return (cursor, receive_ts_ns, receive_mono_ns): the next sequence, and the receive
        times of the last tick that was handed out, 0 before the first."""
        cdef ReaderStreamC *stream = self._find(connection)
        return stream.cursor, stream.last_receive_ts_ns, stream.last_receive_mono_ns

    def poll(self):
        """Copy what is new into the target and return how many ticks; never waits.

        Each connection's ticks stop before its next event. `notices()` gives what follows them:
        take the ticks first, then the notices, then poll again.
        """
        cdef int64_t count = self.polled
        self._enter()
        if count < 0:
            with nogil:
                count = reader_poll(&self.reader)
        self.polled = -1
        self.busy = False
        return count

    def view(self, uint32_t connection):
        """Return (sequence, count) of ticks of one connection to be used in place.

        They lie at `sequence % capacity` of its stream, do not wrap, and were published in the
        newer half. Afterwards `view_lost` tells whether they held still.
        """
        cdef uint64_t sequence = 0, count
        self._enter()
        try:
            count = reader_view(&self.reader, self._find(connection), &sequence)
        finally:
            self.busy = False
        return sequence, count

    def view_lost(self, uint32_t connection, uint64_t sequence, uint64_t count):
        """Return how many of these ticks have been overwritten by now."""
        return reader_view_lost(&self.reader, self._find(connection), sequence, count)

    @property
    def batches(self):
        """How many polls and views have given ticks."""
        return self.reader.page.batches

    @property
    def notice_count(self):
        """How many notices the last poll or view left."""
        return self.reader.notice_count

    def notices(self):
        """Return what follows the ticks of the last poll or view, in order per connection.

        A list of (NoticeKind, connection, sequence, lost, event); event is a dict of EventC's
        fields for NOTICE_EVENT, else None.
        """
        cdef uint32_t i
        cdef ReaderNoticeC *notice
        found = []
        for i in range(self.reader.notice_count):
            notice = &self.reader.notices[i]
            event = dict(notice.event) if notice.kind == NOTICE_EVENT else None
            found.append((notice.kind, notice.connection, notice.sequence, notice.lost, event))
        return found

    def wait(self, int64_t timeout_ns, int64_t connection=-1):
        """Wait until there is something to poll, at most `timeout_ns` and at most 100 ms.

        Looks at one connection only, if given. Returns WAIT_NEWS, WAIT_STOPPED, or WAIT_OVER,
        also early after a signal; raises what the signal's handler raises.
        """
        cdef int found
        self._enter()
        with nogil:
            found = reader_wait(&self.reader, connection, timeout_ns)
        self.busy = False
        PyErr_CheckSignals()
        return found

    def wait_batch(self, int64_t timeout_ns):
        """Wait as `wait` does, poll, and return the ticks if they are all that came.

        An (n,) array, n >= 1: the first records of the target, which the next poll overwrites.
        None if nothing came, after `stop`, or if there is something else: go on with `poll`, which
        returns what was polled. Nothing was when a signal's handler raises: a `view` may follow.

        After the sleep nothing is in the caches any more, and each line of the interpreter costs
        as much as a tick: so the array is made before, and only its length is written after.
        """
        cdef int found = WAIT_NEWS
        cdef object batch = self.target[:] if self.spare is None else self.spare
        self._enter()
        self.spare = None  # ours: a signal's handler may come here, too
        if self.polled < 0:
            with nogil:
                found = reader_wait(&self.reader, -1, timeout_ns)
        self.busy = False
        PyErr_CheckSignals()
        if self.polled < 0 and found == WAIT_NEWS and not self.reader.stop:
            self.polled = reader_poll(&self.reader)
            if self.polled == 0 and self.reader.notice_count == 0:
                self.polled = -1  # an order update, or an event whose ticks are to come
        if self.polled <= 0 or self.reader.notice_count or self.reader.stop:
            self.spare = batch
            return None
        PyArray_DIMS(<PyArrayObject *>batch)[0] = self.polled
        self.polled = -1
        return batch

    def stop(self):
        """End the present wait and all later ones; from any thread or signal handler."""
        reader_set_stop(&self.reader, 1)
        bell_ring(self.reader.bell)

    @property
    def stopped(self):
        """Whether `stop` was called."""
        return bool(self.reader.stop)


def copy_latest(
    Mapping latest not None, const uint32_t[::1] slots not None, const int64_t[::1] rows not None,
    uint8_t[:, ::1] target not None,
):
    """Copy the newest tick of each slot of a latest table into `target[rows[i]]`.

    target: (m, 320) bytes of tick records. Each record is consistent in itself; one that was
    never written is left as it is. Raises RuntimeError when a slot never held still: its writer
    is broken.
    """
    cdef uint64_t capacity = (latest.size - DATA_OFFSET) // sizeof(LatestSlotC)
    cdef const LatestSlotC *table = <const LatestSlotC *>_data(latest, 0, False)
    cdef uint64_t version = 0
    cdef Py_ssize_t i
    cdef int attempt, done
    cdef TickC tick
    if target.shape[1] != sizeof(TickC) or slots.shape[0] != rows.shape[0]:
        raise ValueError("slots and rows must be of one length, and the target of whole records")
    for i in range(slots.shape[0]):
        if slots[i] >= capacity or rows[i] < 0 or rows[i] >= target.shape[0]:
            raise ValueError(f"slot {slots[i]} or row {rows[i]} is out of range")
        done = 0
        for attempt in range(LATEST_ATTEMPTS):
            done = cell_try_read(&table[slots[i]], &tick, sizeof(TickC), &version)
            if done:
                break
            cpu_pause()
        if not done:
            raise RuntimeError(f"slot {slots[i]} of the latest table never held still")
        if version:
            (<TickC *>&target[rows[i], 0])[0] = tick
