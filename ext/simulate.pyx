"""The simulated exchange's compiled part: market state, encoder, output buffers, truth log.

Floor 0. The C headers `sim_*.h` do the work with the GIL released; these classes own the memory
and keep the numbers in bounds. One thread uses them all. Nothing is shared with the decoders.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

import os

import numpy as np


cdef extern from "sim_fill.h" nogil:
    enum:
        SIM_FULL_WORDS
        SIM_MARKS
        SIM_ROWS
        SIM_CONTROL_ROOM
        SIM_PACKETS_PER_FRAME_MAX
        SIM_KIND_FRESH
        SIM_KIND_CACHED
        SIM_KIND_LYING

    ctypedef struct SimInstrumentC:
        uint32_t words[46]
        uint32_t sequence
        uint32_t is_index

    ctypedef struct SimTruthRecordC:
        pass

    ctypedef struct SimTruthC:
        SimTruthRecordC *records
        size_t capacity
        size_t count
        uint64_t written
        int fd
        int error

    ctypedef struct SimSubscriptionC:
        uint32_t instrument
        uint32_t sent_sequence
        uint8_t mode
        uint8_t words

    ctypedef struct SimMarkC:
        pass

    ctypedef struct SimRowC:
        pass

    ctypedef struct SimOutputC:
        SimInstrumentC *instruments
        SimTruthC *truth
        uint8_t *bytes
        SimMarkC *marks
        SimRowC *rows
        SimSubscriptionC *subscriptions
        int32_t *slots
        size_t capacity
        size_t start
        size_t end
        uint64_t mark_head
        uint64_t mark_tail
        uint64_t frames_handed
        uint64_t packets_handed
        uint64_t packets_queued
        uint32_t subscription_count
        uint32_t subscription_capacity
        uint32_t session
        int32_t connection
        int wide
        int error

    int sim_has_avx2()
    uint32_t sim_packet_words(int mode, int is_index)
    void sim_put_words(uint8_t *at, const uint32_t *words, size_t count)
    void sim_put16(uint8_t *at, uint32_t value)
    uint8_t *sim_put_packet(SimOutputC *o, uint8_t *at, const SimInstrumentC *m, int mode, uint32_t words)
    size_t sim_put_frame_header(uint8_t *at, uint8_t opcode, size_t payload)
    void sim_open(SimInstrumentC *m, uint32_t token, uint32_t price, uint32_t tick_size, int is_index,
                  int has_oi, uint64_t seed, uint32_t now_s)
    void sim_advance(SimInstrumentC *m, uint32_t now_s)
    int sim_shift(SimInstrumentC *, int64_t by)
    void sim_truth_flush(SimTruthC *t)
    size_t sim_pending(const SimOutputC *o)
    int sim_append(SimOutputC *o, const uint8_t *bytes, size_t size)
    int sim_data_room(SimOutputC *o, size_t bytes, size_t rows)
    void sim_row(SimOutputC *o, uint32_t token, uint32_t sequence, uint32_t index, int mode, int kind)
    void sim_mark(SimOutputC *o, uint32_t rows)
    void sim_hand(SimOutputC *o, size_t size, int64_t ts_ns, int64_t mono_ns)
    size_t sim_send(SimOutputC *o, int fd, size_t limit)
    int sim_fill_next(SimOutputC *o, uint32_t packets, uint32_t now_s)
    uint32_t sim_fill_changed(SimOutputC *o, int only_new)
    uint64_t sim_pump(SimOutputC *o, int fd, uint32_t packets_per_frame, uint64_t budget, uint32_t now_s)


cdef extern from "<stdlib.h>" nogil:
    void *aligned_alloc(size_t alignment, size_t size)


KIND_FRESH = SIM_KIND_FRESH
KIND_CACHED = SIM_KIND_CACHED
KIND_LYING = SIM_KIND_LYING
full_words = SIM_FULL_WORDS

truth_dtype = np.dtype([
    ("send_ts_ns", "<i8"), ("send_mono_ns", "<i8"), ("frame", "<u8"), ("session", "<u4"),
    ("connection", "<i4"), ("instrument_token", "<u4"), ("sequence", "<u4"),
    ("packet_index", "<u2"), ("mode", "u1"), ("kind", "u1"), ("reserved", "<u4"),
])
assert truth_dtype.itemsize == sizeof(SimTruthRecordC)


def encode_packet(const uint32_t[::1] words not None):
    """Return a packet's body: `words` in network byte order; lengths are not checked here."""
    body = bytearray(4 * words.shape[0])
    cdef uint8_t[::1] at = body
    if words.shape[0]:
        sim_put_words(&at[0], &words[0], words.shape[0])
    return bytes(body)


def encode_frame(bodies):
    """Return a market-data message (the payload, no WebSocket header) of these packet bodies."""
    parts = [len(bodies).to_bytes(2, "big")]
    for body in bodies:
        parts += (len(body).to_bytes(2, "big"), body)
    return b"".join(parts)


def websocket_frame(int opcode, bytes payload not None):
    """Return one unmasked, unfragmented WebSocket frame."""
    cdef uint8_t header[10]
    cdef size_t size = sim_put_frame_header(header, <uint8_t>opcode, len(payload))
    return bytes(header[:size]) + payload


cdef class Market:
    """The state of `n` instruments, each the image of its next packet; positions are 0 to n-1.

    `tokens`, `prices`, `tick_sizes`: (n,) uint32, prices in wire units; `is_index`, `has_oi`:
    (n,) uint8. Everything that follows is a function of them and the seed, but for the clock.
    """
    cdef SimInstrumentC *items
    cdef readonly uint32_t count

    def __cinit__(self, const uint32_t[::1] tokens not None, const uint32_t[::1] prices not None,
                  const uint32_t[::1] tick_sizes not None, const uint8_t[::1] is_index not None,
                  const uint8_t[::1] has_oi not None, *, uint64_t seed, uint32_t now_s):
        cdef uint32_t i
        sizes = {tokens.shape[0], prices.shape[0], tick_sizes.shape[0], is_index.shape[0], has_oi.shape[0]}
        if len(sizes) != 1 or 0 in sizes:
            raise ValueError(f"market arrays of lengths {sorted(sizes)}: expected one length above 0")
        self.count = <uint32_t>tokens.shape[0]
        self.items = <SimInstrumentC *>aligned_alloc(64, self.count * sizeof(SimInstrumentC))
        if self.items is NULL:
            raise MemoryError
        for i in range(self.count):
            sim_open(&self.items[i], tokens[i], prices[i], tick_sizes[i], is_index[i], has_oi[i], seed, now_s)

    def __dealloc__(self):
        free(self.items)

    cdef SimInstrumentC *_at(self, position) except NULL:
        if not 0 <= position < self.count:
            raise IndexError(f"instrument {position}: expected 0 to {self.count - 1}")
        return &self.items[<uint32_t>position]

    def advance(self, const uint32_t[::1] positions not None, *, uint32_t now_s):
        """Bring these instruments to their next state, once for each time they are named."""
        cdef Py_ssize_t i
        for i in range(positions.shape[0]):
            if positions[i] >= self.count:
                raise IndexError(f"instrument {positions[i]}: expected 0 to {self.count - 1}")
        with nogil:
            for i in range(positions.shape[0]):
                sim_advance(&self.items[positions[i]], now_s)

    def shift(self, position, int64_t by):
        """Move an instrument's price, its walk's bounds and its book by so many wire units."""
        if not sim_shift(self._at(position), by):
            raise ValueError(f"by {by}: the price would be out of range")

    def sequence(self, position):
        """Return the sequence of an instrument's state."""
        return self._at(position).sequence

    def words(self, position):
        """Return a copy of a packet's image in native words, (46,) uint32; see sim_encode.h."""
        cdef SimInstrumentC *m = self._at(position)
        return np.array([m.words[i] for i in range(SIM_FULL_WORDS)], np.uint32)

    def packet(self, position, int mode):
        """Return the body of the packet that carries an instrument's state in this mode."""
        cdef SimInstrumentC *m = self._at(position)
        cdef uint32_t words = sim_packet_words(mode, m.is_index)
        cdef SimOutputC o
        cdef uint8_t at[186]
        if words == 0:
            raise ValueError(f"mode {mode}: expected 1 (ltp), 2 (quote) or 3 (full)")
        memset(&o, 0, sizeof(o))
        o.wide = sim_has_avx2()
        sim_put_packet(&o, at, m, mode, words)
        return bytes(at[2:2 + 4 * words])


cdef class TruthLog:
    """Records of what the kernel took, appended to a descriptor in bulk; the caller closes it."""
    cdef SimTruthC truth

    def __cinit__(self, int fd, uint32_t buffer_records=4096):
        self.truth.records = <SimTruthRecordC *>calloc(buffer_records, sizeof(SimTruthRecordC))
        if self.truth.records is NULL:
            raise MemoryError
        self.truth.capacity = buffer_records
        self.truth.fd = fd

    def __dealloc__(self):
        free(self.truth.records)

    def flush(self):
        """Write out what is buffered; raise OSError if any write failed since the last call."""
        with nogil:
            sim_truth_flush(&self.truth)
        if self.truth.error:
            raise OSError(self.truth.error, os.strerror(self.truth.error))

    @property
    def records(self):
        """How many records were made."""
        return self.truth.written + self.truth.count


cdef class Output:
    """One client's subscriptions, encoded frames and their way to the socket and the truth log.

    `session` numbers the accepted sockets; `connection` is the pipeline's number of it, -1 if
    unknown. `capacity` bytes may wait for the socket; what finds no room is refused, never cut.
    """
    cdef SimOutputC o
    cdef readonly Market market
    cdef readonly TruthLog truth

    def __cinit__(self, Market market not None, TruthLog truth=None, *, uint32_t session=0,
                  int32_t connection=-1, size_t capacity=1 << 20, uint32_t subscriptions_max=3000):
        if capacity < 2 * SIM_CONTROL_ROOM:
            raise ValueError(f"capacity {capacity}: expected at least {2 * SIM_CONTROL_ROOM} bytes")
        self.market, self.truth = market, truth
        self.o.instruments = market.items
        self.o.truth = NULL if truth is None else &truth.truth
        self.o.capacity = capacity
        self.o.session, self.o.connection = session, connection
        self.o.wide = sim_has_avx2()
        self.o.subscription_capacity = subscriptions_max
        self.o.bytes = <uint8_t *>calloc(1, capacity)
        self.o.marks = <SimMarkC *>calloc(SIM_MARKS, sizeof(SimMarkC))
        self.o.rows = <SimRowC *>calloc(SIM_ROWS, sizeof(SimRowC))
        self.o.subscriptions = <SimSubscriptionC *>calloc(subscriptions_max + 1, sizeof(SimSubscriptionC))
        self.o.slots = <int32_t *>calloc(market.count, sizeof(int32_t))
        if (self.o.bytes is NULL or self.o.marks is NULL or self.o.rows is NULL
                or self.o.subscriptions is NULL or self.o.slots is NULL):
            raise MemoryError
        memset(self.o.slots, 0xff, market.count * sizeof(int32_t))

    def __dealloc__(self):
        free(self.o.bytes)
        free(self.o.marks)
        free(self.o.rows)
        free(self.o.subscriptions)
        free(self.o.slots)

    @property
    def subscribed(self):
        """How many instruments are subscribed."""
        return self.o.subscription_count

    @property
    def pending_bytes(self):
        """How many bytes wait for the socket."""
        return sim_pending(&self.o)

    @property
    def pending_frames(self):
        """How many data frames wait, the one that is partly sent included."""
        return self.o.mark_tail - self.o.mark_head

    @property
    def frames_handed(self):
        """How many data frames the kernel took whole."""
        return self.o.frames_handed

    @property
    def packets_handed(self):
        """How many packets the kernel took in whole frames."""
        return self.o.packets_handed

    @property
    def packets_queued(self):
        """How many packets were encoded, sent or not."""
        return self.o.packets_queued

    def subscribe(self, position, int mode):
        """Subscribe an instrument, or change its mode; False when the connection is full.

        A new subscription, or a mode that differs, makes its next packet a cached one.
        """
        cdef uint32_t words = sim_packet_words(mode, self.market._at(position).is_index)
        cdef int32_t slot = self.o.slots[<uint32_t>position]
        if words == 0:
            raise ValueError(f"mode {mode}: expected 1 (ltp), 2 (quote) or 3 (full)")
        if slot < 0:
            if self.o.subscription_count == self.o.subscription_capacity:
                return False
            slot = <int32_t>self.o.subscription_count
            self.o.subscription_count += 1
            self.o.slots[<uint32_t>position] = slot
        elif self.o.subscriptions[slot].mode == mode:
            return True
        self.o.subscriptions[slot] = SimSubscriptionC(<uint32_t>position, 0, <uint8_t>mode, <uint8_t>words)
        return True

    def unsubscribe(self, position):
        """Forget an instrument; False if it was not subscribed."""
        self.market._at(position)
        cdef int32_t slot = self.o.slots[<uint32_t>position]
        if slot < 0:
            return False
        self.o.subscription_count -= 1
        self.o.subscriptions[slot] = self.o.subscriptions[self.o.subscription_count]
        self.o.slots[self.o.subscriptions[slot].instrument] = slot
        self.o.slots[<uint32_t>position] = -1
        return True

    def mode(self, position):
        """Return the mode an instrument is subscribed in, 0 if it is not."""
        self.market._at(position)
        cdef int32_t slot = self.o.slots[<uint32_t>position]
        return 0 if slot < 0 else self.o.subscriptions[slot].mode

    def positions(self):
        """Return the market positions that are subscribed, (n,) uint32, in no order."""
        return np.array([self.o.subscriptions[i].instrument for i in range(self.o.subscription_count)],
                        np.uint32)

    def fill_changed(self, *, bint only_new=False):
        """Encode one frame of what has moved since it was last encoded here; return its packets.

        With `only_new`: of what was never encoded in its present mode. 0 also without room.
        """
        cdef uint32_t packets
        with nogil:
            packets = sim_fill_changed(&self.o, only_new)
        return packets

    def fill_next(self, uint32_t packets, *, uint32_t now_s):
        """Encode one frame of the next subscriptions in turn, moving each on; False without room."""
        if not self.o.subscription_count or not 0 < packets <= SIM_PACKETS_PER_FRAME_MAX:
            return False
        return bool(sim_fill_next(&self.o, packets, now_s))

    def pump(self, int fd, *, uint32_t packets_per_frame, uint64_t budget, uint32_t now_s):
        """Encode and send in turn until `budget` packets or a full socket; return the packets.

        Raises OSError once the socket has failed.
        """
        cdef uint64_t encoded
        if not 0 < packets_per_frame <= SIM_PACKETS_PER_FRAME_MAX:
            raise ValueError(f"{packets_per_frame} packets a frame: expected 1 to {SIM_PACKETS_PER_FRAME_MAX}")
        with nogil:
            encoded = sim_pump(&self.o, fd, packets_per_frame, budget, now_s)
        self._check()
        return encoded

    def send(self, int fd, size_t limit=<size_t>-1):
        """Hand at most `limit` waiting bytes to the kernel; return how many it took.

        Raises OSError once the socket has failed.
        """
        cdef size_t sent
        with nogil:
            sent = sim_send(&self.o, fd, limit)
        self._check()
        return sent

    cdef _check(self):
        if self.o.error:
            raise OSError(self.o.error, os.strerror(self.o.error))

    def append(self, const uint8_t[::1] data not None):
        """Queue bytes behind what waits; False when there is no room."""
        if data.shape[0] == 0:
            return True
        return bool(sim_append(&self.o, &data[0], data.shape[0]))

    def append_frame(self, const uint8_t[::1] data not None, rows):
        """Queue a data frame made elsewhere; `rows` are its (token, sequence, mode, kind) to log.

        They are logged once all of `data` was taken. False when there is no room.
        """
        if not sim_data_room(&self.o, data.shape[0], len(rows)):
            return False
        for index, (token, sequence, mode, kind) in enumerate(rows):
            sim_row(&self.o, token, sequence, index, mode, kind)
        sim_append(&self.o, &data[0], data.shape[0])
        sim_mark(&self.o, <uint32_t>len(rows))
        return True

    def take(self, position, *, uint32_t now_s):
        """Move a subscribed instrument on; return (body, token, sequence, mode) of its packet.

        For frames made elsewhere: the state counts as sent here. KeyError if not subscribed.
        """
        cdef SimInstrumentC *m = self.market._at(position)
        cdef int32_t slot = self.o.slots[<uint32_t>position]
        if slot < 0:
            raise KeyError(position)
        sim_advance(m, now_s)
        self.o.subscriptions[slot].sent_sequence = m.sequence
        mode = self.o.subscriptions[slot].mode
        return self.market.packet(position, mode), m.words[0], m.sequence, mode

    def waiting(self, size_t limit):
        """Return a copy of the first `limit` waiting bytes, for a transport of its own (TLS)."""
        cdef size_t size = min(limit, sim_pending(&self.o))
        return bytes(self.o.bytes[self.o.start:self.o.start + size])

    def hand(self, size_t size, *, int64_t send_ts_ns, int64_t send_mono_ns):
        """Say that the first `size` waiting bytes were taken by such a transport.

        Both times (UTC and monotonic nanoseconds) are to be taken before the send: a client may
        have read the bytes when it returns.
        """
        if size > sim_pending(&self.o):
            raise ValueError(f"{size} bytes handed, {sim_pending(&self.o)} were waiting")
        sim_hand(&self.o, size, send_ts_ns, send_mono_ns)
