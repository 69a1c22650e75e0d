"""Extern declarations of `decode_unit.h` and `decode_kite.h`, for decoder processes and tests."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ext.layout cimport AssignmentC, DecodeCountersC, TickC


cdef extern from "token_map.h" nogil:
    ctypedef struct TokenEntry:
        uint32_t instrument_token
        uint32_t slot
        uint8_t mode
        uint8_t state

    ctypedef struct TokenMap:
        uint32_t capacity
        uint32_t active
        uint32_t retired
        uint32_t rejected

    int token_map_init(TokenMap *map, uint32_t instruments)
    void token_map_free(TokenMap *map)
    const TokenEntry *token_map_find(const TokenMap *map, uint32_t instrument_token)
    bint token_map_in_grace(const TokenMap *map, uint32_t instrument_token, int64_t now_mono_ns)
    int token_map_assign(TokenMap *map, const AssignmentC *rows, uint32_t count,
                         uint32_t slot_count, int64_t now_mono_ns, int64_t grace_ns)


cdef extern from "tick_flags.h" nogil:
    ctypedef struct TickBase:
        double last_price
        uint64_t volume_traded
        int64_t exchange_ts_ns
        uint32_t instrument_token
        uint32_t mark


cdef extern from "decode_unit.h" nogil:
    cpdef enum DecodeStatus:
        DECODE_DONE
        DECODE_MORE
        DECODE_SHORT
        DECODE_TRAILING
        DECODE_HEARTBEAT
        DECODE_UNKNOWN_TOKEN

    ctypedef struct FrameStamp:
        int64_t receive_ts_ns
        int64_t receive_mono_ns
        uint64_t source_sequence
        uint32_t connection_epoch
        uint16_t connection

    ctypedef struct DecodeUnit:
        const uint8_t *frame
        size_t frame_bytes
        FrameStamp stamp
        TickC *records
        uint64_t capacity
        uint64_t next_record
        uint64_t next_sequence
        const TokenMap *tokens
        TickBase *bases
        DecodeCountersC *counters
        uint32_t portable
        uint32_t assignment_current
        uint32_t packet_index
        uint32_t packet_offset
        uint32_t packet_count
        uint32_t record_count
        uint32_t *slots

    void decode_frame_begin(DecodeUnit *unit, const uint8_t *frame, size_t frame_bytes,
                            FrameStamp stamp, uint32_t packet_index, uint32_t packet_offset)
    void decode_unit_begin(DecodeUnit *unit)


cdef extern from "decode_kite.h" nogil:
    DecodeStatus decode_kite(DecodeUnit *unit)
