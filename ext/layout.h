/* Everything that two processes see in shared memory, and nothing else.
 *
 * This header is the single source of the layout: `layout.pxd` declares these structs
 * `extern`, the numpy dtypes are derived from them at import, and
 * `tests/golden/layout.txt` freezes names, offsets and sizes. A change here is a visible
 * diff there and a line in the CHANGELOG.
 *
 * Members are ordered by alignment, padding is written out, and only fixed-width types
 * occur, so that the layout is the same for every compiler that we build with.
 */
#ifndef PIPELINE_LAYOUT_H
#define PIPELINE_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#define LAYOUT_VERSION 1u
#define SEGMENT_MAGIC 0x31454e494c504950ull /* "PIPLINE1", little-endian */
#define CACHE_LINE 64u
#define DATA_OFFSET 128u /* where a segment's data begins, behind its header */

#define DEPTH_LEVELS 5
#define UNIT_RECORDS 256u          /* most packets, and most records per output, of a commit */
#define MANIFEST_ENTRIES 4096
#define READER_CURSORS 256
#define SUPERVISED_PROCESSES 512
#define TOPOLOGY_ROWS 512
#define NAME_BYTES 32
#define CLOSE_REASON_BYTES 128     /* at most 123 in a close frame (RFC 6455, 5.5), then zeros */
#define HISTOGRAM_BUCKETS 2048
#define BAD_FRAME_BYTES 64

/* ---- codes ------------------------------------------------------------------------ */

enum SegmentKind {
    SEGMENT_INSTANCE = 1,
    SEGMENT_FRAMES = 2,
    SEGMENT_ORDERS = 3,
    SEGMENT_TEXT = 4,
    SEGMENT_TICKS = 5,
    SEGMENT_EVENTS = 6,
    SEGMENT_ASSIGNMENT = 7,
    SEGMENT_WIRE = 8,
    SEGMENT_CONFIRMED = 9,
    SEGMENT_LATEST = 10,
    SEGMENT_BELL = 11,
    SEGMENT_ACCOUNT = 12,
    SEGMENT_SUPERVISOR_STATUS = 13,
    SEGMENT_FEED_STATUS = 14,
    SEGMENT_DECODER_STATUS = 15,
    SEGMENT_READER = 16,
    SEGMENT_SIMULATOR_STATUS = 17,
    SEGMENT_STRATEGY_STATUS = 18,
    SEGMENT_TOPOLOGY = 19,
    SEGMENT_CONTROL_STATUS = 20,
    SEGMENT_GATEWAY_STATUS = 21
};

enum Role {
    ROLE_NONE = 0,
    ROLE_SUPERVISOR = 1,
    ROLE_FEED = 2,
    ROLE_DECODER = 3,
    ROLE_SIMULATOR = 4,
    ROLE_STRATEGY = 5,
    ROLE_CONTROL = 6,
    ROLE_FACADE = 7,                /* a user's KiteTicker that started its instance */
    ROLE_GATEWAY = 8
};

enum InstanceState { INSTANCE_STARTING = 1, INSTANCE_RUNNING = 2, INSTANCE_DRAINING = 3, INSTANCE_ENDED = 4 };

enum ConnectionState {
    STATE_DISABLED = 0,
    STATE_IDLE = 1,
    STATE_CONNECTING = 2,
    STATE_SUBSCRIBING = 3,
    STATE_LIVE = 4,
    STATE_QUIET = 5,
    STATE_STALLED = 6,
    STATE_RECONNECTING = 7,
    STATE_AUTH_EXPIRED = 8,
    STATE_LIMITED = 9,
    STATE_DRAINING = 10,
    STATE_CLOSED = 11,
    STATE_FAILED = 12
};

enum Reason {
    REASON_NONE = 0,
    REASON_STARTED = 1,          /* a process began */
    REASON_HANDSHAKE = 2,        /* the opening handshake is under way */
    REASON_CONNECTED = 3,        /* 101 received */
    REASON_FIRST_DATA = 4,       /* the first data message of an epoch */
    REASON_NO_TICKS = 5,         /* bytes arrive, ticks do not */
    REASON_STALL = 6,            /* not a byte, ping unanswered */
    REASON_RESET = 7,            /* ECONNRESET, or any other socket error */
    REASON_EOF = 8,              /* end of stream without a close frame */
    REASON_CLOSE_FRAME = 9,      /* the server closed, see the close code */
    REASON_PROTOCOL_ERROR = 10,  /* RFC 6455 was broken: 1002 */
    REASON_BAD_UTF8 = 11,        /* 1007 */
    REASON_TOO_BIG = 12,         /* 1009 */
    REASON_PING_FLOOD = 13,      /* 1008 */
    REASON_SLOW_FRAME = 14,      /* a frame took longer than its deadline */
    REASON_SEND_BLOCKED = 15,    /* the socket did not take our bytes in time */
    REASON_RESOLVE_FAILED = 16,
    REASON_CONNECT_FAILED = 17,
    REASON_CONNECT_TIMEOUT = 18,
    REASON_TLS_FAILED = 19,
    REASON_BAD_HANDSHAKE = 20,   /* an answer that is not a WebSocket upgrade */
    REASON_HTTP_STATUS = 21,     /* any status but 101, 401, 403, 429 */
    REASON_AUTH_REJECTED = 22,   /* 401 or 403 */
    REASON_RATE_LIMITED = 23,    /* 429 */
    REASON_TOKEN_CHANGED = 24,   /* a new secret was found */
    REASON_ASSIGNMENT_EMPTY = 25,
    REASON_PROCESS_EXITED = 26,  /* by its own fault: a signal of its own, or an exit code */
    REASON_PROCESS_KILLED = 27,  /* from outside */
    REASON_PROCESS_HUNG = 28,    /* no heartbeat, killed by the supervisor */
    REASON_CIRCUIT_OPEN = 29,    /* too many deaths, a try each minute */
    REASON_SHUTDOWN = 30,
    REASON_DRAINED = 31,
    REASON_DISCONTINUITY = 32,   /* the source was replaced without a word */
    REASON_CLOCK = 33,
    REASON_MOVED = 34            /* an instrument came from another decoder, or from what had been closed */
};

enum FrameKind { FRAME_MESSAGE = 1, FRAME_STATE = 2 };

enum EventKind { EVENT_GAP = 1, EVENT_STATE = 2, EVENT_OVERRUN = 3, EVENT_QUARANTINE = 4 };

/* What a hosted strategy's process is doing. */
enum HostPhase {
    PHASE_NONE = 0,
    PHASE_IMPORT = 1,
    PHASE_INIT = 2,
    PHASE_ON_START = 3,
    PHASE_WAITING = 4,               /* for ticks and events: no code of the user runs */
    PHASE_ON_TICKS = 5,
    PHASE_ON_EVENT = 6,
    PHASE_ON_STOP = 7
};

enum Mode { MODE_NONE = 0, MODE_LTP = 1, MODE_QUOTE = 2, MODE_FULL = 3 };

enum Broker { BROKER_NONE = 0, BROKER_KITE = 1 };

enum TickFlag {
    FLAG_TRADABLE = 1 << 0,         /* the segment is not an index */
    FLAG_INDEX_LAYOUT = 1 << 1,     /* the packet was 28 or 32 bytes */
    FLAG_BAD_PRICE = 1 << 2,        /* last price zero or negative */
    FLAG_BAD_TIME = 1 << 3,         /* exchange or trade time absent where it belongs, before 2000, > 1 day
                                       ahead, or before the previous tick's exchange time */
    FLAG_CROSSED = 1 << 4,          /* best bid above best ask, both present */
    FLAG_VOLUME_DOWN = 1 << 5,      /* volume below the instrument's previous tick */
    FLAG_OHLC_INCONSISTENT = 1 << 6,
    FLAG_JUMP = 1 << 7,             /* last price moved by more than 20 % between two ticks */
    FLAG_SATURATED = 1 << 8,
    FLAG_STALE_BASE = 1 << 9,       /* delta protocols before their snapshot */
    FLAG_HANDOVER = 1 << 10,        /* the instrument came from another connection until now, or, while it
                                       comes from two: may be repeated, or be older than the newest tick */
    FLAG_SYNTHETIC = 1 << 11
};

/* ---- the tick record: 314 bytes of fields, 6 of padding ------------------------------ */

typedef struct {
    uint64_t sequence;              /* contiguous per stream */
    uint64_t source_sequence;       /* the frame's position in its frame ring */
    int64_t receive_ts_ns;          /* UTC */
    int64_t receive_mono_ns;        /* CLOCK_MONOTONIC of this host */
    int64_t exchange_ts_ns;         /* UTC, 0 = none */
    int64_t last_trade_ts_ns;       /* UTC, 0 = none */
    double last_price;
    double average_traded_price;
    double open;
    double high;
    double low;
    double close;
    double bid_price[DEPTH_LEVELS];
    double ask_price[DEPTH_LEVELS];
    double change;                  /* percent of close, as KiteTicker */
    uint64_t volume_traded;
    uint64_t total_buy_quantity;
    uint64_t total_sell_quantity;
    uint64_t oi;
    uint64_t oi_day_high;
    uint64_t oi_day_low;
    uint32_t instrument_token;
    uint32_t connection_epoch;
    uint32_t flags;                 /* enum TickFlag */
    uint32_t last_traded_quantity;
    uint32_t bid_quantity[DEPTH_LEVELS];
    uint32_t ask_quantity[DEPTH_LEVELS];
    uint16_t packet_index;
    uint16_t connection;
    uint16_t bid_orders[DEPTH_LEVELS];
    uint16_t ask_orders[DEPTH_LEVELS];
    uint8_t mode;                   /* enum Mode */
    uint8_t broker;                 /* enum Broker */
    uint8_t _pad[6];
} TickC;

/* ---- what every segment begins with -------------------------------------------------- */

typedef struct {
    uint64_t magic;
    uint32_t layout_version;
    uint32_t kind;                  /* enum SegmentKind */
    uint64_t fingerprint;           /* of this layout: names, offsets, sizes */
    uint8_t instance_id[16];
    uint8_t boot_id[16];
    uint64_t segment_bytes;
    uint64_t data_offset;
    uint64_t capacity;              /* in records */
    uint64_t area_bytes;            /* byte area of a frame ring, else 0 */
    uint32_t record_size;
    uint32_t number;                /* connection or decoder */
    uint64_t writer_start_time;     /* clock ticks since boot, as /proc/PID/stat */
    int32_t writer_pid;
    uint32_t writer_role;           /* enum Role */
    uint8_t _pad[16];
} SegmentHeaderC;

/* ---- rings and streams ----------------------------------------------------------------- */

typedef struct {
    uint64_t oldest;                /* first sequence that survives the write under way */
    uint64_t tail;                  /* next sequence; everything below is published */
    uint64_t _pad[6];
} RingControlC;

typedef struct {
    uint64_t position;              /* monotonic byte position; offset = position % area */
    int64_t receive_ts_ns;
    int64_t receive_mono_ns;
    int64_t detail;                 /* STATE: close code, HTTP status, signal or exit code; MESSAGE: 0 */
    uint32_t length;
    uint32_t connection_epoch;
    uint16_t kind;                  /* enum FrameKind */
    uint8_t state;                  /* STATE: enum ConnectionState */
    uint8_t reason;                 /* STATE: enum Reason */
    uint32_t _pad;
} FrameDescriptorC;

typedef struct {
    uint64_t tick_sequence;         /* the event precedes the tick with this sequence */
    uint64_t detail;                /* GAP: its one instrument, 0 = all; OVERRUN: bytes; QUARANTINE: frame; STATE: as FrameDescriptorC's */
    int64_t start_ts_ns;
    int64_t end_ts_ns;
    int64_t start_mono_ns;
    int64_t end_mono_ns;
    uint32_t frames;                /* OVERRUN, QUARANTINE */
    uint32_t connection_epoch;
    uint16_t connection;
    uint8_t kind;                   /* enum EventKind */
    uint8_t state;                  /* enum ConnectionState */
    uint8_t reason;                 /* enum Reason */
    uint8_t _pad[3];
} EventC;

/* Conservation, per connection, part of each commit:
 *   frames_in  = frames_data + frames_heartbeat + frames_state + frames_overrun + frames_quarantined
 *   packets_in = ticks_out + packets_unknown_size + packets_unassigned + packets_unsubscribed
 *                + packets_repeated + packets_quarantined
 * The rest are remarks on what was counted above. */
typedef struct {
    uint64_t frames_in;
    uint64_t frames_data;
    uint64_t frames_heartbeat;
    uint64_t frames_state;
    uint64_t frames_overrun;
    uint64_t frames_quarantined;
    uint64_t frames_short;          /* remark: ended before its count or a length said so */
    uint64_t frames_trailing;       /* remark: bytes behind the last packet */
    uint64_t bytes_in;
    uint64_t packets_in;
    uint64_t ticks_out;
    uint64_t packets_unknown_size;
    uint64_t packets_unassigned;
    uint64_t packets_unsubscribed;  /* within 2 s of an unsubscribe */
    uint64_t packets_repeated;      /* an instrument moves, and another connection delivered it: handover.h */
    uint64_t packets_quarantined;
    uint64_t packets_segment_mismatch; /* remark */
    uint64_t packets_unknown_segment;  /* remark */
    uint64_t ticks_flagged;            /* remark: any flag that doubts the tick */
    uint64_t gaps_out;
    uint64_t instrument_gaps_out;
    uint64_t states_out;
    uint64_t overruns_out;
    uint64_t quarantines_out;
    uint64_t units;
} DecodeCountersC;

/* The one commit point of a decoder, a two-copy cell at the head of each tick stream. */
typedef struct {
    uint64_t source_sequence;       /* next frame to decode */
    uint64_t source_position;       /* byte position of the next frame, as the ring counts them */
    uint64_t tick_tail;             /* streams begin at sequence 1: 0 means never seen */
    uint64_t event_tail;
    uint64_t depth_tail;
    int64_t last_receive_ts_ns;     /* of the last message of any kind, 0 = none yet */
    int64_t last_receive_mono_ns;
    int64_t gap_start_ts_ns;        /* where the open gap began */
    int64_t gap_start_mono_ns;
    uint32_t packet_index;          /* next packet of that frame */
    uint32_t packet_offset;         /* and the byte it begins at, 0 with index 0 */
    uint32_t connection_epoch;
    uint8_t state;                  /* enum ConnectionState, as last published */
    uint8_t reason;
    uint8_t gap_open;
    uint8_t gap_reason;
    DecodeCountersC counters;
} CommitC;

typedef struct {
    uint64_t version;               /* odd and even versions alternate between the copies */
    uint64_t _pad[7];
} CellHeadC;

typedef struct {
    CellHeadC head;
    CommitC copy[2];
} CommitCellC;

typedef struct {
    CellHeadC head;
    TickC copy[2];
} LatestSlotC;

typedef struct {
    uint32_t word;
    uint32_t sleepers;
    uint64_t rings;                 /* how often a sleeper was woken */
    uint64_t _pad[6];
} BellC;

/* ---- tables --------------------------------------------------------------------------- */

typedef struct {
    uint32_t count;
    uint32_t connection_epoch;      /* wire: of the connection this was sent on */
    int64_t changed_mono_ns;
} TableHeadC;

typedef struct {
    int64_t assigned_mono_ns;       /* since when, under this owner epoch: the row's first table's time */
    int64_t left_mono_ns;           /* until when its last connection was decoded, if it had none at the time */
    uint32_t instrument_token;
    uint32_t slot;                  /* in the decoder's latest table */
    uint32_t owner_epoch;
    uint8_t mode;
    uint8_t _pad[3];
} AssignmentC;

typedef struct {
    uint32_t instrument_token;
    uint8_t mode;
    uint8_t _pad[3];
} WireC;

typedef struct {
    int64_t first_packet_mono_ns;
    uint32_t instrument_token;
    uint32_t connection_epoch;
    uint8_t mode;
    uint8_t _pad[7];
} ConfirmedC;

/* A wanted connection: written by control, made, run and taken away by the supervisor. */
typedef struct {
    uint32_t instruments_max;       /* sizes its segments, for its whole life */
    uint16_t number;                /* of the connection; never used again in this instance */
    uint16_t account;               /* position of its [[account]] in the config */
    uint16_t decoder;
    uint16_t seat;                  /* its place within its key, which a successor takes over */
    uint8_t wanted;                 /* 1: shall run; 0: shall end */
    uint8_t draining;               /* 1: what it carries is to go elsewhere; for control's successor */
    uint16_t drain_to;              /* the connection where that goes; 0: wherever there is room */
} TopologyC;

typedef struct {
    uint64_t next_handshake_mono_ns; /* compare-and-swap by any feed of the key */
    uint64_t rejected_identity;      /* of the secrets file that got a 403; 0 = none */
    uint64_t handshakes;
    uint64_t subscriptions;         /* the rest is written by control: instruments given a connection */
    uint64_t unsubscriptions;       /* and that lost it because nobody wants them */
    uint64_t connections_opened;
    uint64_t _pad[2];
    uint8_t owner[NAME_BYTES];      /* whose key it is: written with the segment */
} AccountC;

/* ---- the instance file ------------------------------------------------------------------ */

typedef struct {
    uint16_t kind;                  /* enum SegmentKind */
    uint16_t number;                /* connection or decoder */
    uint16_t decoder;               /* of a connection */
    uint16_t broker;
} ManifestEntryC;

typedef struct {
    uint64_t supervisor_start_time;
    uint64_t manifest_version;
    int64_t started_ts_ns;
    int64_t changed_ts_ns;
    int32_t supervisor_pid;
    uint32_t state;                 /* enum InstanceState */
    uint32_t exit_code;             /* once ended */
    uint32_t reason;                /* enum Reason, once draining or ended */
    uint32_t connection_count;
    uint32_t decoder_count;
    uint32_t entry_count;
    uint32_t gated;                 /* 1: the source waits for a named reader */
    uint8_t instance_id[16];
    uint8_t name[NAME_BYTES];
    ManifestEntryC entries[MANIFEST_ENTRIES];
} InstanceC;

/* ---- status pages --------------------------------------------------------------------------- */

typedef struct {
    uint64_t total;
    uint64_t sum;
    uint64_t max;
    uint64_t _pad[5];
    uint64_t counts[HISTOGRAM_BUCKETS];
} HistogramC;

typedef struct {
    uint64_t start_time;            /* of the process, as /proc/PID/stat */
    int64_t heartbeat_mono_ns;
    int64_t busy_until_mono_ns;
    int64_t state_since_ts_ns;
    int64_t state_since_mono_ns;
    int64_t started_mono_ns;
    int32_t pid;
    uint32_t role;                  /* enum Role */
    uint32_t number;
    uint32_t generation;            /* how many processes have held this page */
    uint8_t state;                  /* enum ConnectionState */
    uint8_t reason;                 /* enum Reason */
    uint8_t _pad[6];
} StatusHeadC;

/* messages_in = frames_out + orders_out + text_out + messages_own + messages_dropped */
typedef struct {
    StatusHeadC head;
    uint64_t bytes_in;
    uint64_t messages_in;
    uint64_t frames_out;
    uint64_t orders_out;
    uint64_t text_out;
    uint64_t messages_own;          /* the session's own: acks, application pongs */
    uint64_t messages_dropped;
    uint64_t heartbeats_in;         /* remark, part of frames_out */
    uint64_t handshakes;
    uint64_t handshake_failures;
    uint64_t reconnects;
    uint64_t stalls;
    uint64_t resets;
    uint64_t protocol_errors;
    uint64_t utf8_errors;
    uint64_t too_big;
    uint64_t slow_frames;
    uint64_t pings_in;
    uint64_t pongs_out;
    uint64_t pongs_suppressed;
    uint64_t pings_out;
    uint64_t ping_floods;
    uint64_t text_invalid;          /* text that is no JSON object, or of an unknown type */
    uint64_t server_errors;         /* text of type error */
    uint64_t commands_out;          /* subscribe, unsubscribe, mode messages */
    uint64_t resubscriptions;
    uint64_t reads;
    uint64_t log_lines_dropped;
    int64_t last_byte_mono_ns;
    int64_t last_data_mono_ns;
    int64_t next_attempt_mono_ns;
    int64_t connected_mono_ns;
    uint32_t connection_epoch;
    uint32_t assigned_count;
    uint32_t wire_count;
    uint32_t last_close_code;
    uint32_t last_http_status;
    uint32_t attempt;               /* failed attempts in a row */
    uint8_t account[NAME_BYTES];    /* its name, and whose it is: written with the segment */
    uint8_t owner[NAME_BYTES];
    uint8_t last_close_reason[CLOSE_REASON_BYTES]; /* UTF-8, ends at the first zero */
} FeedStatusC;

/* The beginning of a frame that ended too early or too late, at most one a minute. */
typedef struct {
    uint64_t source_sequence;
    int64_t receive_ts_ns;          /* 0 = none so far */
    int64_t receive_mono_ns;
    uint32_t length;                /* of the frame */
    uint16_t connection;
    uint8_t trailing;               /* 1: bytes behind its last packet; 0: shorter than it says */
    uint8_t _pad;
    uint8_t bytes[BAD_FRAME_BYTES];
} BadFrameC;

typedef struct {
    StatusHeadC head;
    uint64_t commits;
    uint64_t bell_waits;
    uint64_t bell_rings;
    uint64_t paced;                 /* pauses while catching up */
    uint64_t rolled_forward;        /* records brought into the latest table by a successor */
    uint64_t log_lines_dropped;
    uint64_t decoding_source_sequence;
    uint32_t decoding_packet_index;
    uint16_t decoding_connection;
    uint8_t decoding;               /* 1 while a frame is under way */
    uint8_t _pad[1];
    uint32_t manifest_version_seen;
    uint32_t _pad2;
    HistogramC receive_to_publish;  /* ns, one sample per unit */
    BadFrameC bad_frame;            /* for a person to look at */
} DecoderStatusC;

typedef struct {
    StatusHeadC head;
    uint64_t turns;                 /* of this process's loop */
    uint64_t sessions;              /* clients accepted by this process */
} SimulatorStatusC;

typedef struct {
    uint64_t start_time;
    int64_t started_mono_ns;
    int64_t last_exit_ts_ns;
    int64_t next_start_mono_ns;
    int32_t pid;                    /* 0 = none */
    uint32_t role;
    uint32_t number;
    uint32_t restarts;
    int32_t last_exit_code;         /* minus the signal, as subprocess */
    uint32_t consecutive_deaths;
    uint8_t last_exit_reason;       /* enum Reason */
    uint8_t circuit_open;
    uint8_t _pad[6];
    uint8_t name[NAME_BYTES];
} ProcessC;

typedef struct {
    StatusHeadC head;
    uint64_t forks;
    uint64_t deaths;
    uint64_t kills;                 /* hung processes that were killed */
    uint64_t log_lines_dropped;
    uint32_t process_count;
    uint32_t _pad;
    ProcessC processes[SUPERVISED_PROCESSES];
} SupervisorStatusC;

typedef struct {
    uint64_t cursor;                /* next sequence to deliver */
    uint64_t delivered;             /* ticks handed out */
    uint64_t lost;                  /* ticks lapped */
    uint64_t laps;
    uint64_t events;                /* events handed out */
    uint64_t source_sequence;       /* of the last tick delivered + 1 */
    uint32_t connection;
    uint32_t _pad;
    uint64_t _pad2;
} CursorC;

/* One per reader, written by the reader alone; swept when its owner is dead. */
typedef struct {
    StatusHeadC head;
    uint64_t batches;
    uint64_t bell_waits;
    uint32_t cursor_count;
    uint32_t policy;
    uint8_t name[NAME_BYTES];
    CursorC cursors[READER_CURSORS];
    HistogramC latency;             /* receive to strategy, ns, one sample per frame in a batch */
} ReaderC;

/* How far a hosted strategy has been handed a connection: where its next process goes on. */
typedef struct {
    uint64_t tick_cursor;           /* next sequence of each */
    uint64_t event_cursor;
    uint64_t order_cursor;
    uint32_t connection;
    uint32_t _pad;
} PositionC;

/* Of the control process: what it was asked for, and what it has done about it. */
typedef struct {
    StatusHeadC head;
    uint64_t turns;                 /* of its loop */
    uint64_t requests;              /* of clients, answered */
    uint64_t refusals;              /* requests that were refused as a whole or in part */
    uint64_t subscriptions;         /* instruments that were given a connection */
    uint64_t unsubscriptions;       /* and that lost it because nobody wants them */
    uint64_t connections_opened;
    uint64_t connections_closed;
    uint64_t moves_begun;           /* instruments assigned to a second connection */
    uint64_t moves_done;            /* first packet seen there, the old one let go */
    uint64_t moves_failed;          /* given up: the old connection keeps the instrument */
    uint64_t moves_broken;          /* break before make, with a gap */
    uint64_t log_lines_dropped;
    uint32_t clients;
    uint32_t desired;               /* instruments that somebody wants */
    uint32_t assigned;              /* of those, on a connection */
    uint32_t orphaned;              /* of those, without a connection that has room */
    uint32_t moving;
    uint32_t _pad;
} ControlStatusC;

/* Of the gateway. ticks_in = ticks_wanted + ticks_unwanted; and of the messages that ticks made,
 * one for each client and mode: offered = sent + conflated + dropped + waiting. */
typedef struct {
    StatusHeadC head;
    uint64_t passes;                /* batches of ticks that were handed on */
    uint64_t ticks_in;
    uint64_t ticks_wanted;          /* by at least one client */
    uint64_t ticks_unwanted;
    uint64_t ticks_lost;            /* overwritten before the gateway read them */
    uint64_t frames_encoded;        /* one per instrument, mode and tick */
    uint64_t messages_offered;
    uint64_t messages_sent;         /* handed to a socket */
    uint64_t messages_conflated;    /* replaced by a newer one of its instrument and mode */
    uint64_t messages_dropped;      /* left when a client went, or wanted it no longer */
    uint64_t orders_in;
    uint64_t orders_out;
    uint64_t orders_lost;           /* overwritten before the gateway read them */
    uint64_t controls_in;           /* messages of clients */
    uint64_t controls_out;          /* what was answered */
    uint64_t bytes_out;
    uint64_t connects;              /* connections that became WebSockets */
    uint64_t disconnects;
    uint64_t refused;               /* connections turned away before that; the sum of these: */
    uint64_t refused_host;          /* asked for a name that is not ours */
    uint64_t refused_origin;        /* of a page that may not connect */
    uint64_t refused_full;          /* there were too many, of everybody together */
    uint64_t refused_address;       /* there were too many of its address */
    uint64_t refused_banned;        /* its address showed too many wrong keys */
    uint64_t refused_handshake;     /* ended, or was ended, before a handshake had come */
    uint64_t cut_stalled;           /* took nothing for too long */
    uint64_t cut_backlog;           /* too many answers that were not fetched */
    uint64_t cut_silent;            /* answered no ping */
    uint64_t cut_protocol;          /* broke RFC 6455, or sent too much */
    uint64_t cut_unauthenticated;   /* showed no good key in time */
    uint64_t cut_wrong_keys;        /* its address was banned for wrong keys */
    uint64_t cut_excess;            /* too many mistakes, or more than may wait */
    uint64_t cut_revoked;           /* its key is good no longer */
    uint64_t bans;                  /* of addresses, for wrong keys */
    uint64_t keys_accepted;
    uint64_t keys_refused;
    uint64_t demand_refused;        /* instruments that the pool did not accept */
    uint64_t log_lines_dropped;
    uint32_t clients;
    uint32_t authenticated;
    uint32_t subscriptions;         /* of clients: instrument and mode */
    uint32_t instruments;           /* that at least one client wants */
    uint32_t messages_waiting;      /* in the clients' outboxes */
    uint32_t demanded;              /* instruments asked of the pool */
    uint32_t port;
    uint32_t _pad;
    HistogramC receive_to_send;     /* ns, one sample per batch: its oldest tick */
} GatewayStatusC;

/* Of a hosted strategy, kept over its processes; the supervisor makes it, the process writes it. */
typedef struct {
    StatusHeadC head;
    uint64_t calls;                 /* callbacks that returned */
    uint64_t ticks;                 /* handed to on_ticks */
    uint64_t events;                /* handed to on_event */
    uint64_t exceptions;            /* that ended a process */
    uint64_t lost;                  /* ticks overwritten before they were read, over restarts too */
    uint64_t output_lines;          /* printed, and passed on to the log */
    uint64_t output_lines_dropped;  /* printed too fast, and only counted */
    uint64_t log_lines_dropped;
    uint64_t dropped;               /* what it did not hand on, as it says itself */
    int64_t phase_since_mono_ns;
    int64_t report_after_ns;        /* a callback that takes longer is reported */
    uint32_t phase;                 /* enum HostPhase */
    uint32_t position_count;
    PositionC positions[READER_CURSORS];
} StrategyStatusC;

/* ---- relations that the code relies on -------------------------------------------------------- */

_Static_assert(sizeof(TickC) == 320, "a tick is five cache lines");
_Static_assert(offsetof(TickC, _pad) == 314, "314 bytes of fields");
_Static_assert(sizeof(SegmentHeaderC) == DATA_OFFSET, "data follow the header");
_Static_assert(sizeof(RingControlC) == CACHE_LINE, "one line");
_Static_assert(sizeof(FrameDescriptorC) == 48, "the plan counts 48 B a message");
_Static_assert(sizeof(EventC) == 64, "the plan counts 64 B an event");
_Static_assert(sizeof(LatestSlotC) == 704, "the plan counts 704 B a slot");
_Static_assert(sizeof(CellHeadC) == CACHE_LINE, "one line");
_Static_assert(sizeof(CommitC) % 8 == 0, "cells are copied by words");
_Static_assert(sizeof(AssignmentC) == 32 && sizeof(WireC) == 8 && sizeof(ConfirmedC) == 24, "table rows");
_Static_assert(sizeof(TopologyC) == 16, "a table row");
_Static_assert(sizeof(InstanceC) % 8 == 0, "cells are copied by words");

#endif
