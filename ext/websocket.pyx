"""The strict WebSocket frame reader of a feed, and the encoding of what a client sends.

Floor 0. RFC 6455 from behind the opening handshake to the close frame; see `ws.h` for the rules
and `ws_stream.h` for the read loop. Binary messages go into the frame ring without becoming
Python objects; text and control frames, which are rare, become events. Never opens, closes or
writes a socket, and never waits longer than it is told.
"""
from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

import os

from ext.cells cimport Bell, Word
from ext.crash cimport arm_crash_point
from ext.layout cimport REASON_EOF, FeedStatusC
from ext.rings cimport FrameRingWriter, frame_ring_add, frame_ring_flush


wait_slice_ns = WAIT_SLICE_NS  # how long a socket that blocks by itself is to block


cdef class MaskSource:
    """Four unpredictable bytes a frame, from the kernel's generator, fetched 64 frames at once."""

    cdef bytes _pool
    cdef Py_ssize_t _used

    def __cinit__(self):
        self._pool = b""
        self._used = 0

    cdef const uint8_t *take(self) except NULL:
        if self._used + 4 > len(self._pool):
            self._pool = os.urandom(256)
            self._used = 0
        self._used += 4
        return <const uint8_t *>PyBytes_AS_STRING(self._pool) + self._used - 4


cdef MaskSource _masks = MaskSource()


def _forget_masks():
    # A child must not send the masks that its parent or a sibling will send.
    global _masks
    _masks = MaskSource()


os.register_at_fork(after_in_child=_forget_masks)


def encode_frame(int opcode, const uint8_t[::1] payload not None):
    """Return one masked client frame, as `bytes`; a control frame takes at most 125 bytes."""
    cdef size_t length = payload.shape[0]
    if opcode >= WS_CLOSE and length > WS_CONTROL_MAX:
        raise ValueError(f"control frame of {length} bytes; at most {WS_CONTROL_MAX} are allowed")
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, WS_CLIENT_HEADER_MAX + length)
    cdef const uint8_t *mask = _masks.take()
    cdef size_t size = ws_encode(<uint8_t *>PyBytes_AS_STRING(frame), <uint8_t>opcode,
                                 &payload[0] if length else NULL, length, mask)
    return frame[:size]


def encode_close(int code, bytes reason=b""):
    """Return a masked close frame; code 0 sends an empty one."""
    return encode_frame(WS_CLOSE, code.to_bytes(2, "big") + reason[:123] if code else b"")


def arm_crash(str name not None, long passage=1, int signal_number=9):
    """Let this process die by a signal (SIGKILL) at the n-th passage of a crash point of this module.

    Returns False, and does nothing, in a build without crash points.
    """
    return bool(arm_crash_point(name, passage, signal_number))


cdef void _publish(void *context, const uint8_t *payload, size_t length, int64_t receive_ts_ns,
                   int64_t receive_mono_ns) noexcept nogil:
    # The reader refuses on the header what the ring could not take, so this cannot fail.
    frame_ring_add(&(<FrameReader>context)._ring.writer, payload, length,
                   (<FrameReader>context)._connection_epoch, receive_ts_ns, receive_mono_ns)


cdef void _flush(void *context) noexcept nogil:
    frame_ring_flush(&(<FrameReader>context)._ring.writer)
    if (<FrameReader>context)._bell is not None:
        bell_ring((<FrameReader>context)._bell.bell)


cdef class FrameReader:
    """Read one connection's frames; a new connection takes a new reader.

    Binary messages go into `ring` under `connection_epoch`, and `bell` is rung once a read;
    without a ring they are events like texts. An event is `(opcode, payload, receive_ts_ns,
    receive_mono_ns)`, in the order of the wire; a ping event is to be answered with a pong of its
    payload (pings above 20 a second are not passed on). `status` is a writable buffer over a
    `FeedStatusC` to count in, else the reader's own. Waits stop every 50 ms for a heartbeat in
    `status`, and end early when the word `watch` is no longer `watched`, or when `wake_fd` (a
    non-blocking pipe, as `signal.set_wakeup_fd` fills it) can be read, which empties it.
    """

    def __cinit__(self, size_t message_bytes_max=1 << 20, size_t receive_buffer_bytes=256 << 10, *,
                  uint32_t fragments_max=64, FrameRingWriter ring=None, Bell bell=None,
                  uint32_t connection_epoch=0, status=None,
                  int64_t frame_deadline_ns=10_000_000_000, int64_t spin_ns=0,
                  Word watch=None, int wake_fd=-1):
        if message_bytes_max < WS_CONTROL_MAX or receive_buffer_bytes < 1024:
            raise ValueError("a reader needs 125 message bytes and 1,024 buffer bytes at least")
        if ring is not None and ring.message_bytes_max < message_bytes_max:
            raise ValueError(f"messages of {message_bytes_max} bytes do not fit a ring that takes "
                             f"{ring.message_bytes_max}")
        memset(&self._stream, 0, sizeof(ws_stream))
        self._capacity = ws_buffer_bytes(message_bytes_max, receive_buffer_bytes)
        self._buffer = bytearray(self._capacity)
        self._joined = bytearray(message_bytes_max)
        self._view = memoryview(self._buffer)
        ws_init(&self._stream.parser, <uint8_t *>PyByteArray_AS_STRING(self._buffer),
                self._capacity, <uint8_t *>PyByteArray_AS_STRING(self._joined), message_bytes_max,
                fragments_max)
        ws_stream_init(&self._stream, self._open_status(status), receive_buffer_bytes,
                       frame_deadline_ns, spin_ns)
        self._stream.wake_fd = wake_fd
        self.events = []
        self._ring = ring
        self._bell = bell
        self._watch = watch
        if watch is not None:
            self._stream.watch = watch.address
        self._connection_epoch = connection_epoch
        if ring is not None:
            self._stream.sink.context = <void *>self
            self._stream.sink.publish = _publish
            self._stream.sink.flush = _flush

    cdef FeedStatusC *_open_status(self, status) except NULL:
        self._status_memory = memoryview(bytearray(sizeof(FeedStatusC)) if status is None else status)
        cdef uint8_t[::1] view = self._status_memory
        if view.shape[0] < <Py_ssize_t>sizeof(FeedStatusC):
            raise ValueError("the status buffer is smaller than a FeedStatusC")
        return <FeedStatusC *>&view[0]

    def read_fd(self, int fd, *, int reads_max=64, int64_t busy_ns=10_000_000,
                int64_t wait_ns=50_000_000, int64_t turn_ns=0, bint want_write=False,
                bint blocks=False):
        """Read a plain socket with the GIL released; return a `StreamResult`.

        `blocks`: its own waits block, and end after `wait_slice_ns` (SO_RCVTIMEO); else they need not.

        Ends after `reads_max` reads, `busy_ns` after the first of them, or `wait_ns` without a
        byte; also as soon as there is an event, a signal, an end, or room to write when wanted.
        With a longer `turn_ns` it beats instead and goes on that long, unless there is a duty.
        """
        cdef ws_message message
        cdef int result
        self._stream.blocks = blocks
        with nogil:
            result = ws_stream_read(&self._stream, fd, reads_max, busy_ns, wait_ns, turn_ns,
                                    want_write, &message)
        if result == STREAM_EVENT:
            self._append(&message)
            return self._parse(STREAM_EVENT)
        return result

    def wait_fd(self, int fd, int64_t wait_ns, bint want_write=False):
        """Wait for a byte as `read_fd` does, and read nothing; return a `StreamResult`."""
        cdef int result
        with nogil:
            result = ws_stream_wait(&self._stream, fd, want_write, wait_ns)
        return result

    cpdef writable(self):
        """Return the room for the next read of TLS; tell `consumed()` then."""
        ws_make_room(&self._stream.parser)
        cdef size_t end = self._stream.parser.end
        return self._view[end : end + min(self._stream.read_bytes_max, self._capacity - end)]

    def stamp(self):
        """Take the receive time: a read of the socket has just returned."""
        ws_stream_stamp(&self._stream)

    cpdef int consumed(self, size_t count, bint stamp=True) except -1:
        """Parse `count` bytes that were just read into `writable()`.

        Without `stamp` they came with the socket read that was stamped last.
        """
        if count > self._capacity - self._stream.parser.end:
            raise ValueError("more bytes than there was room for")
        if self._stream.reason:
            return STREAM_ENDED
        if stamp:
            ws_stream_stamp(&self._stream)
        ws_stream_received(&self._stream, count)
        return self._parse(STREAM_IDLE)

    def read_records(self, read, wants_more, int64_t until_mono_ns):
        """Parse what `read(count, buffer)`, an `SSLObject`'s, decrypts, until it raises `wants_more`.

        Returns a `StreamResult`: STREAM_BUSY for bytes, STREAM_ENDED at an orderly end. `drained`
        tells whether the records ran out, rather than the time. Other exceptions pass through.
        """
        cdef int result = STREAM_ENDED if self._stream.reason else STREAM_IDLE
        cdef size_t count
        self.drained = False
        while result != STREAM_ENDED:
            room = self.writable()
            try:
                count = read(len(room), room)
            except wants_more:
                self.drained = True
                return result
            if count == 0:
                return ws_stream_end(&self._stream, REASON_EOF, 0)
            result = max(result, STREAM_BUSY, self.consumed(count, stamp=False))
            if ws_clock_ns(CLOCK_MONOTONIC) >= until_mono_ns:
                break
        return result

    def feed(self, const uint8_t[::1] data not None):
        """Take bytes as if they had been read, in pieces that fit; for tests."""
        cdef Py_ssize_t at = 0, room
        cdef int result = STREAM_IDLE
        while at < data.shape[0] and result != STREAM_ENDED:
            ws_make_room(&self._stream.parser)
            room = min(self._stream.read_bytes_max, self._capacity - self._stream.parser.end)
            room = min(room, data.shape[0] - at)
            memcpy(self._stream.parser.buffer + self._stream.parser.end, &data[at], room)
            at += room
            result = self.consumed(room)
        return result

    cdef int _parse(self, int result_so_far) except -1:
        cdef ws_message message
        cdef int result = STREAM_EVENT
        while result == STREAM_EVENT:
            with nogil:
                result = ws_stream_parse(&self._stream, &message)
            if result == STREAM_EVENT:
                self._append(&message)
                result_so_far = STREAM_EVENT
        return result if result == STREAM_ENDED else result_so_far

    cdef int _append(self, ws_message *message) except -1:
        payload = PyBytes_FromStringAndSize(<const char *>message.payload, message.length)
        self.events.append((message.opcode, payload, self._stream.receive_ts_ns,
                            self._stream.receive_mono_ns))
        return 0

    def take_events(self):
        """Return the events so far and forget them."""
        events, self.events = self.events, []
        return events

    def check_timers(self, int64_t now_mono_ns):
        """Look at the frame deadline and the pings kept back; return a `StreamResult`."""
        cdef ws_message ping
        if self._stream.reason or ws_stream_is_overdue(&self._stream, now_mono_ns):
            return STREAM_ENDED
        if not ws_take_waiting_ping(&self._stream, now_mono_ns, &ping):
            return STREAM_IDLE
        self._append(&ping)
        return STREAM_EVENT

    def end(self, uint8_t reason, int error_number=0):
        """End the stream for a reason found elsewhere (TLS); counted like one found here."""
        if not self._stream.reason:
            ws_stream_end(&self._stream, reason, error_number)

    @property
    def watched(self):
        """The value of `watch` with which waits go on."""
        return self._stream.watch_seen

    @watched.setter
    def watched(self, uint64_t value):
        self._stream.watch_seen = value

    @property
    def reason(self):
        """Why the stream ended (`Reason` of the layout), 0 while it has not."""
        return self._stream.reason

    @property
    def close_code(self):
        """The code to send after a failure, 0 without one."""
        return self._stream.parser.close_code

    @property
    def failure(self):
        """Which rule was broken, an empty string for none."""
        return self._stream.parser.failure.decode() if self._stream.parser.failure else ""

    @property
    def error_number(self):
        """The errno of a socket error, else 0."""
        return self._stream.error_number

    @property
    def closed(self):
        """True once a close frame was received."""
        return bool(self._stream.parser.closed)

    @property
    def frame_since_mono_ns(self):
        """When the first byte of the incomplete frame came, 0 without one."""
        return self._stream.frame_since_mono_ns

    @property
    def status(self):
        """The `FeedStatusC` that is counted in, as a memoryview."""
        return self._status_memory
