"""Extern declarations of `layout.h`, written by `generate_layout.py`: do not edit."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "layout.h" nogil:
    enum:
        LAYOUT_VERSION
        CACHE_LINE
        DATA_OFFSET
        DEPTH_LEVELS
        UNIT_RECORDS
        MANIFEST_ENTRIES
        READER_CURSORS
        SUPERVISED_PROCESSES
        TOPOLOGY_ROWS
        NAME_BYTES
        CLOSE_REASON_BYTES
        HISTOGRAM_BUCKETS
        BAD_FRAME_BYTES
    const uint64_t SEGMENT_MAGIC

    cpdef enum SegmentKind:
        SEGMENT_INSTANCE
        SEGMENT_FRAMES
        SEGMENT_ORDERS
        SEGMENT_TEXT
        SEGMENT_TICKS
        SEGMENT_EVENTS
        SEGMENT_ASSIGNMENT
        SEGMENT_WIRE
        SEGMENT_CONFIRMED
        SEGMENT_LATEST
        SEGMENT_BELL
        SEGMENT_ACCOUNT
        SEGMENT_SUPERVISOR_STATUS
        SEGMENT_FEED_STATUS
        SEGMENT_DECODER_STATUS
        SEGMENT_READER
        SEGMENT_SIMULATOR_STATUS
        SEGMENT_STRATEGY_STATUS
        SEGMENT_TOPOLOGY
        SEGMENT_CONTROL_STATUS
        SEGMENT_GATEWAY_STATUS

    cpdef enum Role:
        ROLE_NONE
        ROLE_SUPERVISOR
        ROLE_FEED
        ROLE_DECODER
        ROLE_SIMULATOR
        ROLE_STRATEGY
        ROLE_CONTROL
        ROLE_FACADE
        ROLE_GATEWAY

    cpdef enum InstanceState:
        INSTANCE_STARTING
        INSTANCE_RUNNING
        INSTANCE_DRAINING
        INSTANCE_ENDED

    cpdef enum ConnectionState:
        STATE_DISABLED
        STATE_IDLE
        STATE_CONNECTING
        STATE_SUBSCRIBING
        STATE_LIVE
        STATE_QUIET
        STATE_STALLED
        STATE_RECONNECTING
        STATE_AUTH_EXPIRED
        STATE_LIMITED
        STATE_DRAINING
        STATE_CLOSED
        STATE_FAILED

    cpdef enum Reason:
        REASON_NONE
        REASON_STARTED
        REASON_HANDSHAKE
        REASON_CONNECTED
        REASON_FIRST_DATA
        REASON_NO_TICKS
        REASON_STALL
        REASON_RESET
        REASON_EOF
        REASON_CLOSE_FRAME
        REASON_PROTOCOL_ERROR
        REASON_BAD_UTF8
        REASON_TOO_BIG
        REASON_PING_FLOOD
        REASON_SLOW_FRAME
        REASON_SEND_BLOCKED
        REASON_RESOLVE_FAILED
        REASON_CONNECT_FAILED
        REASON_CONNECT_TIMEOUT
        REASON_TLS_FAILED
        REASON_BAD_HANDSHAKE
        REASON_HTTP_STATUS
        REASON_AUTH_REJECTED
        REASON_RATE_LIMITED
        REASON_TOKEN_CHANGED
        REASON_ASSIGNMENT_EMPTY
        REASON_PROCESS_EXITED
        REASON_PROCESS_KILLED
        REASON_PROCESS_HUNG
        REASON_CIRCUIT_OPEN
        REASON_SHUTDOWN
        REASON_DRAINED
        REASON_DISCONTINUITY
        REASON_CLOCK
        REASON_MOVED

    cpdef enum FrameKind:
        FRAME_MESSAGE
        FRAME_STATE

    cpdef enum EventKind:
        EVENT_GAP
        EVENT_STATE
        EVENT_OVERRUN
        EVENT_QUARANTINE

    cpdef enum HostPhase:
        PHASE_NONE
        PHASE_IMPORT
        PHASE_INIT
        PHASE_ON_START
        PHASE_WAITING
        PHASE_ON_TICKS
        PHASE_ON_EVENT
        PHASE_ON_STOP

    cpdef enum Mode:
        MODE_NONE
        MODE_LTP
        MODE_QUOTE
        MODE_FULL

    cpdef enum Broker:
        BROKER_NONE
        BROKER_KITE

    cpdef enum TickFlag:
        FLAG_TRADABLE
        FLAG_INDEX_LAYOUT
        FLAG_BAD_PRICE
        FLAG_BAD_TIME
        FLAG_CROSSED
        FLAG_VOLUME_DOWN
        FLAG_OHLC_INCONSISTENT
        FLAG_JUMP
        FLAG_SATURATED
        FLAG_STALE_BASE
        FLAG_HANDOVER
        FLAG_SYNTHETIC

    ctypedef struct TickC:
        uint64_t sequence
        uint64_t source_sequence
        int64_t receive_ts_ns
        int64_t receive_mono_ns
        int64_t exchange_ts_ns
        int64_t last_trade_ts_ns
        double last_price
        double average_traded_price
        double open
        double high
        double low
        double close
        double bid_price[DEPTH_LEVELS]
        double ask_price[DEPTH_LEVELS]
        double change
        uint64_t volume_traded
        uint64_t total_buy_quantity
        uint64_t total_sell_quantity
        uint64_t oi
        uint64_t oi_day_high
        uint64_t oi_day_low
        uint32_t instrument_token
        uint32_t connection_epoch
        uint32_t flags
        uint32_t last_traded_quantity
        uint32_t bid_quantity[DEPTH_LEVELS]
        uint32_t ask_quantity[DEPTH_LEVELS]
        uint16_t packet_index
        uint16_t connection
        uint16_t bid_orders[DEPTH_LEVELS]
        uint16_t ask_orders[DEPTH_LEVELS]
        uint8_t mode
        uint8_t broker
        uint8_t _pad[6]

    ctypedef struct SegmentHeaderC:
        uint64_t magic
        uint32_t layout_version
        uint32_t kind
        uint64_t fingerprint
        uint8_t instance_id[16]
        uint8_t boot_id[16]
        uint64_t segment_bytes
        uint64_t data_offset
        uint64_t capacity
        uint64_t area_bytes
        uint32_t record_size
        uint32_t number
        uint64_t writer_start_time
        int32_t writer_pid
        uint32_t writer_role
        uint8_t _pad[16]

    ctypedef struct RingControlC:
        uint64_t oldest
        uint64_t tail
        uint64_t _pad[6]

    ctypedef struct FrameDescriptorC:
        uint64_t position
        int64_t receive_ts_ns
        int64_t receive_mono_ns
        int64_t detail
        uint32_t length
        uint32_t connection_epoch
        uint16_t kind
        uint8_t state
        uint8_t reason
        uint32_t _pad

    ctypedef struct EventC:
        uint64_t tick_sequence
        uint64_t detail
        int64_t start_ts_ns
        int64_t end_ts_ns
        int64_t start_mono_ns
        int64_t end_mono_ns
        uint32_t frames
        uint32_t connection_epoch
        uint16_t connection
        uint8_t kind
        uint8_t state
        uint8_t reason
        uint8_t _pad[3]

    ctypedef struct DecodeCountersC:
        uint64_t frames_in
        uint64_t frames_data
        uint64_t frames_heartbeat
        uint64_t frames_state
        uint64_t frames_overrun
        uint64_t frames_quarantined
        uint64_t frames_short
        uint64_t frames_trailing
        uint64_t bytes_in
        uint64_t packets_in
        uint64_t ticks_out
        uint64_t packets_unknown_size
        uint64_t packets_unassigned
        uint64_t packets_unsubscribed
        uint64_t packets_repeated
        uint64_t packets_quarantined
        uint64_t packets_segment_mismatch
        uint64_t packets_unknown_segment
        uint64_t ticks_flagged
        uint64_t gaps_out
        uint64_t instrument_gaps_out
        uint64_t states_out
        uint64_t overruns_out
        uint64_t quarantines_out
        uint64_t units

    ctypedef struct CommitC:
        uint64_t source_sequence
        uint64_t source_position
        uint64_t tick_tail
        uint64_t event_tail
        uint64_t depth_tail
        int64_t last_receive_ts_ns
        int64_t last_receive_mono_ns
        int64_t gap_start_ts_ns
        int64_t gap_start_mono_ns
        uint32_t packet_index
        uint32_t packet_offset
        uint32_t connection_epoch
        uint8_t state
        uint8_t reason
        uint8_t gap_open
        uint8_t gap_reason
        DecodeCountersC counters

    ctypedef struct CellHeadC:
        uint64_t version
        uint64_t _pad[7]

    ctypedef struct CommitCellC:
        CellHeadC head
        CommitC copy[2]

    ctypedef struct LatestSlotC:
        CellHeadC head
        TickC copy[2]

    ctypedef struct BellC:
        uint32_t word
        uint32_t sleepers
        uint64_t rings
        uint64_t _pad[6]

    ctypedef struct TableHeadC:
        uint32_t count
        uint32_t connection_epoch
        int64_t changed_mono_ns

    ctypedef struct AssignmentC:
        int64_t assigned_mono_ns
        int64_t left_mono_ns
        uint32_t instrument_token
        uint32_t slot
        uint32_t owner_epoch
        uint8_t mode
        uint8_t _pad[3]

    ctypedef struct WireC:
        uint32_t instrument_token
        uint8_t mode
        uint8_t _pad[3]

    ctypedef struct ConfirmedC:
        int64_t first_packet_mono_ns
        uint32_t instrument_token
        uint32_t connection_epoch
        uint8_t mode
        uint8_t _pad[7]

    ctypedef struct TopologyC:
        uint32_t instruments_max
        uint16_t number
        uint16_t account
        uint16_t decoder
        uint16_t seat
        uint8_t wanted
        uint8_t draining
        uint16_t drain_to

    ctypedef struct AccountC:
        uint64_t next_handshake_mono_ns
        uint64_t rejected_identity
        uint64_t handshakes
        uint64_t subscriptions
        uint64_t unsubscriptions
        uint64_t connections_opened
        uint64_t _pad[2]
        uint8_t owner[NAME_BYTES]

    ctypedef struct ManifestEntryC:
        uint16_t kind
        uint16_t number
        uint16_t decoder
        uint16_t broker

    ctypedef struct InstanceC:
        uint64_t supervisor_start_time
        uint64_t manifest_version
        int64_t started_ts_ns
        int64_t changed_ts_ns
        int32_t supervisor_pid
        uint32_t state
        uint32_t exit_code
        uint32_t reason
        uint32_t connection_count
        uint32_t decoder_count
        uint32_t entry_count
        uint32_t gated
        uint8_t instance_id[16]
        uint8_t name[NAME_BYTES]
        ManifestEntryC entries[MANIFEST_ENTRIES]

    ctypedef struct HistogramC:
        uint64_t total
        uint64_t sum
        uint64_t max
        uint64_t _pad[5]
        uint64_t counts[HISTOGRAM_BUCKETS]

    ctypedef struct StatusHeadC:
        uint64_t start_time
        int64_t heartbeat_mono_ns
        int64_t busy_until_mono_ns
        int64_t state_since_ts_ns
        int64_t state_since_mono_ns
        int64_t started_mono_ns
        int32_t pid
        uint32_t role
        uint32_t number
        uint32_t generation
        uint8_t state
        uint8_t reason
        uint8_t _pad[6]

    ctypedef struct FeedStatusC:
        StatusHeadC head
        uint64_t bytes_in
        uint64_t messages_in
        uint64_t frames_out
        uint64_t orders_out
        uint64_t text_out
        uint64_t messages_own
        uint64_t messages_dropped
        uint64_t heartbeats_in
        uint64_t handshakes
        uint64_t handshake_failures
        uint64_t reconnects
        uint64_t stalls
        uint64_t resets
        uint64_t protocol_errors
        uint64_t utf8_errors
        uint64_t too_big
        uint64_t slow_frames
        uint64_t pings_in
        uint64_t pongs_out
        uint64_t pongs_suppressed
        uint64_t pings_out
        uint64_t ping_floods
        uint64_t text_invalid
        uint64_t server_errors
        uint64_t commands_out
        uint64_t resubscriptions
        uint64_t reads
        uint64_t log_lines_dropped
        int64_t last_byte_mono_ns
        int64_t last_data_mono_ns
        int64_t next_attempt_mono_ns
        int64_t connected_mono_ns
        uint32_t connection_epoch
        uint32_t assigned_count
        uint32_t wire_count
        uint32_t last_close_code
        uint32_t last_http_status
        uint32_t attempt
        uint8_t account[NAME_BYTES]
        uint8_t owner[NAME_BYTES]
        uint8_t last_close_reason[CLOSE_REASON_BYTES]

    ctypedef struct BadFrameC:
        uint64_t source_sequence
        int64_t receive_ts_ns
        int64_t receive_mono_ns
        uint32_t length
        uint16_t connection
        uint8_t trailing
        uint8_t _pad
        uint8_t bytes[BAD_FRAME_BYTES]

    ctypedef struct DecoderStatusC:
        StatusHeadC head
        uint64_t commits
        uint64_t bell_waits
        uint64_t bell_rings
        uint64_t paced
        uint64_t rolled_forward
        uint64_t log_lines_dropped
        uint64_t decoding_source_sequence
        uint32_t decoding_packet_index
        uint16_t decoding_connection
        uint8_t decoding
        uint8_t _pad[1]
        uint32_t manifest_version_seen
        uint32_t _pad2
        HistogramC receive_to_publish
        BadFrameC bad_frame

    ctypedef struct SimulatorStatusC:
        StatusHeadC head
        uint64_t turns
        uint64_t sessions

    ctypedef struct ProcessC:
        uint64_t start_time
        int64_t started_mono_ns
        int64_t last_exit_ts_ns
        int64_t next_start_mono_ns
        int32_t pid
        uint32_t role
        uint32_t number
        uint32_t restarts
        int32_t last_exit_code
        uint32_t consecutive_deaths
        uint8_t last_exit_reason
        uint8_t circuit_open
        uint8_t _pad[6]
        uint8_t name[NAME_BYTES]

    ctypedef struct SupervisorStatusC:
        StatusHeadC head
        uint64_t forks
        uint64_t deaths
        uint64_t kills
        uint64_t log_lines_dropped
        uint32_t process_count
        uint32_t _pad
        ProcessC processes[SUPERVISED_PROCESSES]

    ctypedef struct CursorC:
        uint64_t cursor
        uint64_t delivered
        uint64_t lost
        uint64_t laps
        uint64_t events
        uint64_t source_sequence
        uint32_t connection
        uint32_t _pad
        uint64_t _pad2

    ctypedef struct ReaderC:
        StatusHeadC head
        uint64_t batches
        uint64_t bell_waits
        uint32_t cursor_count
        uint32_t policy
        uint8_t name[NAME_BYTES]
        CursorC cursors[READER_CURSORS]
        HistogramC latency

    ctypedef struct PositionC:
        uint64_t tick_cursor
        uint64_t event_cursor
        uint64_t order_cursor
        uint32_t connection
        uint32_t _pad

    ctypedef struct ControlStatusC:
        StatusHeadC head
        uint64_t turns
        uint64_t requests
        uint64_t refusals
        uint64_t subscriptions
        uint64_t unsubscriptions
        uint64_t connections_opened
        uint64_t connections_closed
        uint64_t moves_begun
        uint64_t moves_done
        uint64_t moves_failed
        uint64_t moves_broken
        uint64_t log_lines_dropped
        uint32_t clients
        uint32_t desired
        uint32_t assigned
        uint32_t orphaned
        uint32_t moving
        uint32_t _pad

    ctypedef struct GatewayStatusC:
        StatusHeadC head
        uint64_t passes
        uint64_t ticks_in
        uint64_t ticks_wanted
        uint64_t ticks_unwanted
        uint64_t ticks_lost
        uint64_t frames_encoded
        uint64_t messages_offered
        uint64_t messages_sent
        uint64_t messages_conflated
        uint64_t messages_dropped
        uint64_t orders_in
        uint64_t orders_out
        uint64_t orders_lost
        uint64_t controls_in
        uint64_t controls_out
        uint64_t bytes_out
        uint64_t connects
        uint64_t disconnects
        uint64_t refused
        uint64_t refused_host
        uint64_t refused_origin
        uint64_t refused_full
        uint64_t refused_address
        uint64_t refused_banned
        uint64_t refused_handshake
        uint64_t cut_stalled
        uint64_t cut_backlog
        uint64_t cut_silent
        uint64_t cut_protocol
        uint64_t cut_unauthenticated
        uint64_t cut_wrong_keys
        uint64_t cut_excess
        uint64_t cut_revoked
        uint64_t bans
        uint64_t keys_accepted
        uint64_t keys_refused
        uint64_t demand_refused
        uint64_t log_lines_dropped
        uint32_t clients
        uint32_t authenticated
        uint32_t subscriptions
        uint32_t instruments
        uint32_t messages_waiting
        uint32_t demanded
        uint32_t port
        uint32_t _pad
        HistogramC receive_to_send

    ctypedef struct StrategyStatusC:
        StatusHeadC head
        uint64_t calls
        uint64_t ticks
        uint64_t events
        uint64_t exceptions
        uint64_t lost
        uint64_t output_lines
        uint64_t output_lines_dropped
        uint64_t log_lines_dropped
        uint64_t dropped
        int64_t phase_since_mono_ns
        int64_t report_after_ns
        uint32_t phase
        uint32_t position_count
        PositionC positions[READER_CURSORS]
