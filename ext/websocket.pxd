"""C side of the frame reader: what `ws.h` and `ws_stream.h` offer, and the reader itself."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ext.cells cimport Bell, Word
from ext.layout cimport BellC, FeedStatusC
from ext.rings cimport FrameRingWriter


cdef extern from "ws.h" nogil:
    const unsigned int WS_CLIENT_HEADER_MAX
    const unsigned int WS_CONTROL_MAX

    cpdef enum WsOpcode:
        WS_TEXT
        WS_BINARY
        WS_CLOSE
        WS_PING
        WS_PONG

    ctypedef struct ws_message:
        const uint8_t *payload
        size_t length
        uint8_t opcode

    ctypedef struct ws_parser:
        uint8_t *buffer
        size_t end
        const char *failure
        uint16_t close_code
        uint8_t closed

    size_t ws_buffer_bytes(size_t message_bytes_max, size_t read_bytes_max)
    void ws_init(ws_parser *p, uint8_t *buffer, size_t capacity, uint8_t *joined,
                 size_t message_bytes_max, uint32_t fragments_max)
    size_t ws_make_room(ws_parser *p)
    size_t ws_encode(uint8_t *frame, uint8_t opcode, const uint8_t *payload, size_t length,
                     const uint8_t *mask)


cdef extern from "bell.h" nogil:
    void bell_ring(BellC *bell)


cdef extern from "ws_stream.h" nogil:
    cpdef enum StreamResult:
        STREAM_IDLE
        STREAM_BUSY
        STREAM_EVENT
        STREAM_WRITABLE
        STREAM_INTERRUPTED
        STREAM_ENDED

    ctypedef struct ws_sink:
        void *context
        void (*publish)(void *context, const uint8_t *payload, size_t length,
                        int64_t receive_ts_ns, int64_t receive_mono_ns) noexcept nogil
        void (*flush)(void *context) noexcept nogil

    ctypedef struct ws_stream:
        ws_parser parser
        ws_sink sink
        size_t read_bytes_max
        int64_t receive_ts_ns
        int64_t receive_mono_ns
        int64_t frame_since_mono_ns
        const uint64_t *watch
        uint64_t watch_seen
        int wake_fd
        int blocks
        int error_number
        uint8_t reason

    const int64_t WAIT_SLICE_NS
    const int CLOCK_MONOTONIC
    int64_t ws_clock_ns(int clock)
    void ws_stream_init(ws_stream *s, FeedStatusC *status, size_t read_bytes_max,
                        int64_t frame_deadline_ns, int64_t spin_ns)
    int ws_stream_end(ws_stream *s, uint8_t reason, int error_number)
    int ws_stream_is_overdue(ws_stream *s, int64_t now_mono_ns)
    int ws_take_waiting_ping(ws_stream *s, int64_t now_mono_ns, ws_message *ping)
    int ws_stream_parse(ws_stream *s, ws_message *message)
    void ws_stream_stamp(ws_stream *s)
    void ws_stream_received(ws_stream *s, size_t bytes)
    int ws_stream_wait(ws_stream *s, int fd, int want_write, int64_t wait_ns)
    int ws_stream_read(ws_stream *s, int fd, int reads_max, int64_t busy_ns, int64_t wait_ns,
                       int64_t turn_ns, int want_write, ws_message *message)


cdef class FrameReader:
    cdef ws_stream _stream
    cdef size_t _capacity
    cdef bytearray _buffer
    cdef bytearray _joined
    cdef object _view
    cdef object _status_memory
    cdef FrameRingWriter _ring
    cdef Bell _bell
    cdef Word _watch
    cdef uint32_t _connection_epoch
    cdef public list events
    cdef readonly bint drained

    cdef FeedStatusC *_open_status(self, status) except NULL
    cpdef writable(self)
    cpdef int consumed(self, size_t count, bint stamp=*) except -1
    cdef int _parse(self, int result_so_far) except -1
    cdef int _append(self, ws_message *message) except -1
