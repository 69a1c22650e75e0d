"""Tick records -> the JSON messages and WebSocket frames that market data clients read.

Floor 0. One `MarketEncoder` for the names of one owner; it holds no tick, and nothing of a client.
What a message has of a record, and how numbers are written, is in `market_json.h`.
"""
from cpython.buffer cimport PyBUF_STRIDED_RO, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.list cimport PyList_GET_ITEM
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

import json

from ext.layout cimport MODE_FULL, MODE_LTP, TickC


cdef extern from "market_json.h" nogil:
    ctypedef struct MarketName:
        const uint8_t *head
        const uint8_t *tail
        uint32_t head_bytes
        uint32_t tail_bytes
        uint32_t mode_at
        uint32_t data_at
    enum:
        MARKET_NAME_MAX
        MARKET_HEADER_MAX
        MARKET_FRAME_MAX
    uint8_t *market_put_data(uint8_t *out, const TickC *tick, int mode, const MarketName *name)
    uint8_t *market_put_message(uint8_t *out, const TickC *tick, int mode, const MarketName *name)
    uint8_t *market_put_header(uint8_t *payload, size_t payload_bytes)

cdef extern from "token_map.h" nogil:
    ctypedef struct TokenEntry:
        uint32_t instrument_token
        uint32_t slot
        uint8_t mode
        uint8_t state
    ctypedef struct TokenAside:
        int64_t deadline_mono_ns
        uint32_t owner_epoch
    ctypedef struct TokenMap:
        uint32_t capacity
        uint32_t active
    enum:
        TOKEN_ACTIVE
    int token_map_init(TokenMap *map, uint32_t instruments)
    void token_map_free(TokenMap *map)
    const TokenEntry *token_map_find(const TokenMap *map, uint32_t instrument_token)
    void token_map_put(TokenMap *map, TokenEntry entry, TokenAside aside)


ctypedef uint8_t *(*_Put)(uint8_t *, const TickC *, int, const MarketName *) noexcept nogil

cdef enum:
    CONNECTIONS = 1 << 16
    NAMES_AT_FIRST = 64


#: No frame is longer; AmiBroker's plugin reads 16,000 bytes of payload at most.
frame_bytes_max = MARKET_FRAME_MAX


cdef class _Name:
    """What is known of a key: the constant bytes of its messages, and who wants which of them."""
    cdef uint32_t key
    cdef uint8_t wanted     # a bit for each mode that has a target
    cdef list targets       # by mode, from LTP
    cdef bytes head         # owners of what `parts` points to
    cdef bytes tail
    cdef MarketName parts

    def __cinit__(self, uint32_t key):
        self.key = key
        self.targets = [None, None, None]


cdef void _spell(_Name name, str symbol, str exchange, str broker) except *:
    """Make the constant bytes. ASCII, with escapes, so that clients may take bytes for characters."""
    names = f'"symbol":{json.dumps(symbol)},"exchange":{json.dumps(exchange)},"mode":'
    envelope = '{"type":"market_data",' + names
    data = '{' + names + '"'
    cdef bytes head = f'{envelope}0,"data":{data}'.encode("ascii")
    cdef bytes tail = f'}},"broker":{json.dumps(broker)}}}'.encode("ascii")
    if len(head) + len(tail) > MARKET_NAME_MAX:
        raise ValueError(
            f"names of key {name.key} take {len(head) + len(tail):,} bytes of a message, "
            f"{MARKET_NAME_MAX:,} are allowed; give shorter ones"
        )
    name.head = head
    name.tail = tail
    name.parts.head = head
    name.parts.tail = tail
    name.parts.head_bytes = len(head)
    name.parts.tail_bytes = len(tail)
    name.parts.mode_at = len(envelope)
    name.parts.data_at = len(head) - len(data)


cdef const TickC *_tick_at(Py_buffer *view, Py_ssize_t i) noexcept:
    return <const TickC *>(<char *>view.buf + i * view.strides[0])


cdef void _get_ticks(ticks, Py_buffer *view) except *:
    """Hold the array's memory, which the caller releases; or raise, and nothing is held."""
    PyObject_GetBuffer(ticks, view, PyBUF_STRIDED_RO)
    fault = None
    if view.ndim != 1 or view.itemsize != sizeof(TickC):
        fault = f"have {view.ndim} dimensions of {view.itemsize} bytes an item"
    elif (<size_t>view.buf | <size_t>view.strides[0]) % sizeof(uint64_t):
        fault = "do not lie at multiples of 8 bytes"
    if fault is not None:
        PyBuffer_Release(view)
        raise ValueError(
            f"ticks {fault}; expected an (n,) array of tick_dtype, {sizeof(TickC)} bytes; numpy "
            "packs records that it joins: copy them into np.empty(n, tick_dtype)"
        )


cdef bint _has_mode(const TickC *tick) noexcept:
    return MODE_LTP <= tick.mode <= MODE_FULL


cdef class MarketEncoder:
    """Writes ticks as market data messages: `{"type":"market_data",...}`, compact, in ASCII.

    A key is what an instrument is known by: its instrument token. Names are given to keys, so that
    owners whose names differ use encoders of their own. `ticks` is always an (n,) tick_dtype array
    of any stride, read during the call and not kept; `mode` is the mode that was subscribed: 1
    (ltp), 2 (quote), 3 (depth). A tick of a lower mode gives what it has. Not for several threads
    at once.

    Raise KeyError for a key without names, IndexError for a position outside of `ticks`, and
    ValueError for another mode, another dtype, or a record without a mode (one that was never
    seen: its sequence is 0).
    """
    cdef TokenMap _map              # key -> position in _names, and the modes wanted
    cdef list _names
    cdef uint8_t *_buffer
    cdef uint8_t *_foreign          # by connection; NULL: none is
    cdef readonly uint64_t refused

    def __cinit__(self):
        self._names = []
        self._buffer = <uint8_t *>malloc(MARKET_FRAME_MAX)
        if self._buffer == NULL or token_map_init(&self._map, NAMES_AT_FIRST) != 0:
            raise MemoryError(f"no {MARKET_FRAME_MAX} bytes for a frame")

    def __dealloc__(self):
        free(self._buffer)
        free(self._foreign)
        token_map_free(&self._map)

    # ---- names ----------------------------------------------------------------------------------

    def name(self, uint32_t key, str symbol not None, str exchange not None, str broker not None):
        """Give a key its names, spelt as clients subscribe them; former names are forgotten.

        Raise ValueError for names that are no Unicode text, or together too long for a frame.
        """
        for text in (symbol, exchange, broker):
            text.encode()  # lone surrogates would be escapes that no strict parser takes
        cdef const TokenEntry *entry = token_map_find(&self._map, key)
        cdef _Name name = _Name.__new__(_Name, key) if entry == NULL else self._names[entry.slot]
        _spell(name, symbol, exchange, broker)
        if entry == NULL:
            self._make_room()
            self._names.append(name)
            self._put(name, len(self._names) - 1)

    cdef void _put(self, _Name name, uint32_t slot) noexcept:
        cdef TokenEntry entry
        cdef TokenAside aside
        memset(&entry, 0, sizeof(entry))
        memset(&aside, 0, sizeof(aside))
        entry.instrument_token = name.key
        entry.slot = slot
        entry.mode = name.wanted
        entry.state = TOKEN_ACTIVE
        token_map_put(&self._map, entry, aside)

    cdef void _make_room(self) except *:
        """Keep the map at most half full, the next name included."""
        cdef TokenMap larger
        cdef uint32_t slot
        if 2 * (self._map.active + 1) <= self._map.capacity:
            return
        if token_map_init(&larger, self._map.capacity) != 0:
            raise MemoryError(f"no memory for {self._map.capacity} names")
        token_map_free(&self._map)
        self._map = larger
        for slot in range(<uint32_t>len(self._names)):
            self._put(self._names[slot], slot)

    cdef _Name _find(self, uint32_t key):
        cdef const TokenEntry *entry = token_map_find(&self._map, key)
        if entry == NULL:
            raise KeyError(f"no names for key {key}; give them with name()")
        return <_Name>PyList_GET_ITEM(self._names, entry.slot)

    def __contains__(self, uint32_t key):
        """Whether the key has names."""
        return token_map_find(&self._map, key) != NULL

    def __len__(self):
        """How many keys have names."""
        return len(self._names)

    # ---- one message ----------------------------------------------------------------------------

    def frame(self, ticks, Py_ssize_t i, int mode, uint32_t key):
        """Return ticks[i] as a whole WebSocket frame: final, text, unmasked, header and message."""
        cdef uint8_t *end = self._write(
            self._buffer + MARKET_HEADER_MAX, ticks, i, mode, key, market_put_message
        )
        return self._framed(end)

    def message(self, ticks, Py_ssize_t i, int mode, uint32_t key):
        """Return ticks[i] as a message, without a frame around it."""
        cdef uint8_t *end = self._write(self._buffer, ticks, i, mode, key, market_put_message)
        return PyBytes_FromStringAndSize(<char *>self._buffer, end - self._buffer)

    def data(self, ticks, Py_ssize_t i, int mode, uint32_t key):
        """Return the `data` object of the message of ticks[i]."""
        cdef uint8_t *end = self._write(self._buffer, ticks, i, mode, key, market_put_data)
        return PyBytes_FromStringAndSize(<char *>self._buffer, end - self._buffer)

    cdef bytes _framed(self, uint8_t *end):
        cdef uint8_t *payload = self._buffer + MARKET_HEADER_MAX
        cdef uint8_t *start = market_put_header(payload, end - payload)
        return PyBytes_FromStringAndSize(<char *>start, end - start)

    cdef uint8_t *_write(self, uint8_t *out, ticks, Py_ssize_t i, int mode, uint32_t key,
                         _Put put) except NULL:
        cdef Py_buffer view
        cdef const TickC *tick
        cdef _Name name = self._find(key)
        _check_mode(mode)
        _get_ticks(ticks, &view)
        try:
            if i < 0 or i >= view.shape[0]:
                raise IndexError(f"position {i} of {view.shape[0]} ticks")
            tick = _tick_at(&view, i)
            if not _has_mode(tick):
                raise ValueError(
                    f"instrument {tick.instrument_token}: record with mode {tick.mode}; expected 1 "
                    "to 3; leave out records whose sequence is 0"
                )
            return put(out, tick, mode, &name.parts)
        finally:
            PyBuffer_Release(&view)

    # ---- many -----------------------------------------------------------------------------------

    def want(self, uint32_t key, int mode, target):
        """Have `batch` encode each tick of a key in a mode, for a target; None: no longer.

        target: any object, which `batch` gives back beside the frame; the encoder keeps it. A
        mode has one target; another call replaces it.
        """
        cdef _Name name = self._find(key)
        _check_mode(mode)
        name.targets[mode - MODE_LTP] = target
        if target is None:
            name.wanted &= ~(1 << mode)
        else:
            name.wanted |= 1 << mode
        self._put(name, token_map_find(&self._map, key).slot)

    def own(self, connections):
        """Let `batch` pass over the ticks of all connections but these; None: over no tick.

        connections: numbers of connections. Before the first call all are taken.
        """
        cdef uint16_t connection
        cdef uint8_t *foreign = NULL
        if connections is not None:
            taken = list(connections)
            foreign = <uint8_t *>malloc(CONNECTIONS)
            if foreign == NULL:
                raise MemoryError(f"no {CONNECTIONS} bytes for connections")
            memset(foreign, 1, CONNECTIONS)
            try:
                for connection in taken:
                    foreign[connection] = 0
            except BaseException:
                free(foreign)
                raise
        free(self._foreign)
        self._foreign = foreign

    def batch(self, ticks):
        """Encode all that is wanted of the ticks: a list of (target, frame), in the ticks' order.

        For each tick a frame for each mode that its instrument token is wanted in, the lowest mode
        first. Records without a mode are passed over and counted in `refused`.
        """
        cdef Py_buffer view
        cdef Py_ssize_t i
        cdef const TickC *tick
        cdef const TokenEntry *entry
        cdef list found = []
        _get_ticks(ticks, &view)
        try:
            for i in range(view.shape[0]):
                tick = _tick_at(&view, i)
                entry = token_map_find(&self._map, tick.instrument_token)
                if entry == NULL or entry.mode == 0:
                    continue
                if self._foreign != NULL and self._foreign[tick.connection]:
                    continue
                if not _has_mode(tick):
                    self.refused += 1
                    continue
                self._add(found, tick, <_Name>PyList_GET_ITEM(self._names, entry.slot))
        finally:
            PyBuffer_Release(&view)
        return found

    cdef void _add(self, list found, const TickC *tick, _Name name) except *:
        cdef int mode
        cdef uint8_t *end
        for mode in range(MODE_LTP, MODE_FULL + 1):
            if name.wanted & 1 << mode:
                end = market_put_message(self._buffer + MARKET_HEADER_MAX, tick, mode, &name.parts)
                found.append((name.targets[mode - MODE_LTP], self._framed(end)))


cdef void _check_mode(int mode) except *:
    if mode < MODE_LTP or mode > MODE_FULL:
        raise ValueError(f"mode {mode}; expected 1 (ltp), 2 (quote) or 3 (depth)")
