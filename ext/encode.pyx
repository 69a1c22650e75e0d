"""Tick records -> the JSON messages and WebSocket frames that market data clients read.

Floor 0. A `MarketEncoder` knows the names of instruments; it holds no tick, and nothing of a client.
What a message has of a record, and how numbers are written, is in `market_json.h`.
"""
from cpython.buffer cimport PyBUF_STRIDED_RO, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.dict cimport PyDict_GetItemWithError
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc

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


ctypedef uint8_t *(*_Put)(uint8_t *, const TickC *, int, const MarketName *) noexcept nogil

#: No frame is longer; AmiBroker's plugin reads 16,000 bytes of payload at most.
frame_bytes_max = MARKET_FRAME_MAX


cdef class _Name:
    """The constant bytes of an instrument's messages, kept alive beside the pointers to them."""
    cdef bytes head
    cdef bytes tail
    cdef MarketName parts


cdef _Name _new_name(str symbol, str exchange, str broker):
    """Make the constant bytes. ASCII, with escapes, so that clients may take bytes for characters."""
    cdef _Name name = _Name.__new__(_Name)
    names = f'"symbol":{json.dumps(symbol)},"exchange":{json.dumps(exchange)},"mode":'
    envelope = '{"type":"market_data",' + names
    data = '{' + names + '"'
    name.head = f'{envelope}0,"data":{data}'.encode("ascii")
    name.tail = f'}},"broker":{json.dumps(broker)}}}'.encode("ascii")
    name.parts.head = name.head
    name.parts.tail = name.tail
    name.parts.head_bytes = len(name.head)
    name.parts.tail_bytes = len(name.tail)
    name.parts.mode_at = len(envelope)
    name.parts.data_at = len(name.head) - len(data)
    return name


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


cdef class MarketEncoder:
    """Writes ticks as market data messages: `{"type":"market_data",...}`, compact, in ASCII.

    A key is any unsigned 32-bit number that the caller knows an instrument's names by.
    `ticks` is always an (n,) tick_dtype array of any stride, read during the call and not kept;
    `mode` is the mode that was subscribed: 1 (ltp), 2 (quote), 3 (depth). A tick of a lower mode
    gives what it has. Nothing but the bytes that are returned is allocated. Not for several threads
    at once.

    Raise KeyError for a key without names, IndexError for a position outside of `ticks`, and
    ValueError for another mode, another dtype, or a record without a mode (one that was never
    seen: its sequence is 0).
    """
    cdef dict _names
    cdef uint8_t *_buffer

    def __cinit__(self):
        self._names = {}
        self._buffer = <uint8_t *>malloc(MARKET_FRAME_MAX)
        if self._buffer == NULL:
            raise MemoryError(f"no {MARKET_FRAME_MAX} bytes for a frame")

    def __dealloc__(self):
        free(self._buffer)

    def name(self, uint32_t key, str symbol not None, str exchange not None, str broker not None):
        """Give a key its names, spelt as clients subscribe them; former names are forgotten.

        Raise ValueError for names that are no Unicode text, or together too long for a frame.
        """
        for text in (symbol, exchange, broker):
            text.encode()  # lone surrogates would be escapes that no strict parser takes
        cdef _Name name = _new_name(symbol, exchange, broker)
        cdef size_t size = len(name.head) + len(name.tail)
        if size > MARKET_NAME_MAX:
            raise ValueError(
                f"names of key {key} take {size:,} bytes of a message, {MARKET_NAME_MAX:,} are "
                "allowed; give shorter ones"
            )
        self._names[key] = name

    def __contains__(self, key):
        """Whether the key has names."""
        return key in self._names

    def __len__(self):
        """How many keys have names."""
        return len(self._names)

    def frame(self, ticks, Py_ssize_t i, int mode, key):
        """Return ticks[i] as a whole WebSocket frame: final, text, unmasked, header and message."""
        cdef uint8_t *payload = self._buffer + MARKET_HEADER_MAX
        cdef uint8_t *end = self._write(payload, ticks, i, mode, key, market_put_message)
        cdef uint8_t *start = market_put_header(payload, end - payload)
        return PyBytes_FromStringAndSize(<char *>start, end - start)

    def message(self, ticks, Py_ssize_t i, int mode, key):
        """Return ticks[i] as a message, without a frame around it."""
        cdef uint8_t *end = self._write(self._buffer, ticks, i, mode, key, market_put_message)
        return PyBytes_FromStringAndSize(<char *>self._buffer, end - self._buffer)

    def data(self, ticks, Py_ssize_t i, int mode, key):
        """Return the `data` object of the message of ticks[i]."""
        cdef uint8_t *end = self._write(self._buffer, ticks, i, mode, key, market_put_data)
        return PyBytes_FromStringAndSize(<char *>self._buffer, end - self._buffer)

    cdef uint8_t *_write(self, uint8_t *out, ticks, Py_ssize_t i, int mode, key,
                         _Put put) except NULL:
        cdef Py_buffer view
        cdef const TickC *tick
        cdef void *found = PyDict_GetItemWithError(self._names, key)
        if found == NULL:
            raise KeyError(f"no names for key {key!r}; give them with name()")
        cdef _Name name = <_Name>found
        if mode < MODE_LTP or mode > MODE_FULL:
            raise ValueError(f"mode {mode}; expected 1 (ltp), 2 (quote) or 3 (depth)")
        _get_ticks(ticks, &view)
        try:
            if i < 0 or i >= view.shape[0]:
                raise IndexError(f"position {i} of {view.shape[0]} ticks")
            tick = <const TickC *>(<char *>view.buf + i * view.strides[0])
            if tick.mode < MODE_LTP or tick.mode > MODE_FULL:
                raise ValueError(
                    f"instrument {tick.instrument_token}: record with mode {tick.mode}; expected 1 "
                    "to 3; leave out records whose sequence is 0"
                )
            return put(out, tick, mode, &name.parts)
        finally:
            PyBuffer_Release(&view)
