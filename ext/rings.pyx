"""Frame rings, order rings and text rings: writer and reader over a mapped segment.

Floor 0. The feed's read loop and the decoder use the C structs behind these classes; the
methods are for text, for the supervisor as heir of a dead feed, and for tests.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from ext.layout cimport FrameDescriptorC
from ext.mapping cimport Mapping


def frame_ring_size(uint64_t capacity, uint64_t area_bytes):
    """Return the data bytes of a ring with `capacity` descriptors and `area_bytes` of messages."""
    return frame_ring_data_bytes(capacity, area_bytes)


cdef _view(FrameRing *ring, Mapping mapping):
    if not frame_ring_view(ring, mapping.address, mapping.size):
        raise ValueError(f"no frame ring fits this segment of {mapping.size} bytes")


cdef class FrameRingWriter:
    """The one writer of a ring; opening it takes over where the last writer stopped.

    Only after that writer is dead and reaped: nothing here guards against two of them.
    """

    def __init__(self, Mapping mapping not None):
        cdef FrameRing ring
        if not mapping.writable:
            raise ValueError("the mapping is read-only")
        _view(&ring, mapping)
        frame_ring_writer_open(&self.writer, &ring)
        self.mapping = mapping

    @property
    def tail(self):
        """The sequence of the next message."""
        return self.writer.tail

    @property
    def message_bytes_max(self):
        """The longest message that fits: a quarter of the byte area."""
        return frame_ring_message_bytes_max(&self.writer.ring)

    def append(
        self, const uint8_t[::1] message not None, *, uint32_t connection_epoch,
        int64_t receive_ts_ns, int64_t receive_mono_ns,
    ):
        """Copy one message in; return False when it is longer than `message_bytes_max`."""
        cdef uint8_t nothing = 0
        cdef const uint8_t *data = &message[0] if message.shape[0] else &nothing
        return bool(frame_ring_append(
            &self.writer, data, message.shape[0], connection_epoch, receive_ts_ns, receive_mono_ns))

    def append_state(
        self, uint8_t state, uint8_t reason, *, int64_t detail=0, uint32_t connection_epoch,
        int64_t ts_ns, int64_t mono_ns,
    ):
        """Append a state change of the connection; codes as in layout.h."""
        frame_ring_append_state(
            &self.writer, state, reason, detail, connection_epoch, ts_ns, mono_ns)

    def last_epoch(self):
        """Return the connection epoch of the newest message, 0 in a ring never written."""
        cdef FrameRing *ring = &self.writer.ring
        if self.writer.oldest >= self.writer.tail:
            return 0
        return ring.index[(self.writer.tail - 1) % ring.capacity].connection_epoch


cdef class FrameRingReader:
    """A reader with its own cursor; it starts at the oldest safe message, or at `cursor`.

    `lost` counts the messages that were overwritten before this reader came to them.
    """

    def __init__(self, Mapping mapping not None, cursor=None):
        _view(&self.reader.ring, mapping)
        self.mapping = mapping
        self.lost = 0
        self.reader.cursor = self.reader.ring.control.oldest if cursor is None else cursor

    @property
    def cursor(self):
        """The sequence of the next message to read."""
        return self.reader.cursor

    @property
    def tail(self):
        """The sequence that the writer will publish next."""
        return self.reader.ring.control.tail

    def poll(self):
        """Return the next message, or None when there is none.

        A message is a dict of its descriptor's fields, `sequence`, and `payload`: bytes of its
        own. A reader that was lapped goes on at a quarter of what is left and counts `lost`.
        """
        cdef FrameDescriptorC descriptor
        cdef const uint8_t *data = NULL
        cdef int status
        while True:
            status = frame_ring_peek(&self.reader, &descriptor, &data)
            if status == RING_EMPTY:
                return None
            if status == RING_READY:
                payload = data[:descriptor.length]
                if frame_ring_holds(&self.reader.ring, self.reader.cursor):
                    break
            self._resume()
        self.reader.cursor += 1
        return {
            "sequence": self.reader.cursor - 1, "kind": descriptor.kind, "payload": payload,
            "state": descriptor.state, "reason": descriptor.reason, "detail": descriptor.detail,
            "connection_epoch": descriptor.connection_epoch,
            "receive_ts_ns": descriptor.receive_ts_ns,
            "receive_mono_ns": descriptor.receive_mono_ns,
        }

    cdef _resume(self):
        cdef uint64_t cursor = ring_resume_sequence(
            self.reader.ring.control, self.reader.ring.capacity, self.reader.cursor)
        self.lost += cursor - self.reader.cursor
        self.reader.cursor = cursor
