"""A decoder process's lanes, from mapped segments to the C loop in decoder_loop.h.

Floor 0. Everything per frame happens in C without the GIL; Python opens lanes and comes back
between runs for signals, heartbeats and the shutdown.
"""
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from ext.cells cimport Word
from ext.crash cimport arm_crash_point, crash_point_names
from ext.layout cimport (
    AssignmentC, BellC, CommitC, ConfirmedC, DATA_OFFSET, DecoderStatusC, FrameDescriptorC,
    LatestSlotC, SegmentHeaderC, TableHeadC)
from ext.mapping cimport Mapping
from ext.rings cimport FrameRing, FrameRingReaderC, RING_READY, frame_ring_peek, frame_ring_view


cdef extern from "decoder_loop.h" nogil:
    ctypedef struct StreamC "Stream":
        pass
    ctypedef struct TickBaseC "TickBase":
        pass
    ctypedef struct OverlapC "Overlap":
        pass
    ctypedef struct TokenMapC "TokenMap":
        uint32_t active
    ctypedef struct PaceC "Pace":
        int64_t age_ns_max
        int64_t interval_ns
        uint32_t interval_ticks
        uint32_t gated
        uint32_t raw_only
    ctypedef struct LaneC "Lane"
    ctypedef struct ReaderRingsC "ReaderRings":
        BellC *bell
    ctypedef struct LaneGroupC "LaneGroup":
        LaneC **lanes
        uint32_t lane_count
        uint32_t slot_count
        TickBaseC *bases
        uint16_t *holders
        OverlapC *overlaps
        ReaderRingsC rings
    ctypedef struct LaneC "Lane":
        FrameRingReaderC source
        StreamC ticks
        StreamC events
        LatestSlotC *latest
        ConfirmedC *confirmed
        const void *assignment
        uint64_t assignment_copy_bytes
        uint32_t assignment_capacity
        uint32_t slot_count
        DecoderStatusC *status
        uint16_t connection
        CommitC block
        TokenMapC tokens
        uint8_t *assignment_copy
        LaneGroupC *group
        uint64_t *confirmed_keys
        int64_t *assigned_mono_ns
        int64_t *left_mono_ns
        uint64_t skip_sequence
    ctypedef struct NapsC "Naps":
        int64_t nap_ns
    int64_t NAP_NS_MAX
    ctypedef struct DecoderLoopC "DecoderLoop":
        LaneC **lanes
        uint32_t lane_count
        BellC *bell
        ReaderRingsC *rings
        DecoderStatusC *status
        PaceC pace
        int64_t spin_ns
        NapsC naps
        const uint64_t *watched
        uint64_t watched_version
    int stream_view(StreamC *stream, void *segment, uint64_t mapped_bytes, int with_commit)
    uint64_t cell_bytes(uint64_t copy_bytes)
    int lane_open(LaneC *lane)
    void lane_close(LaneC *lane)
    void token_map_free(TokenMapC *tokens)
    int decoder_has_work(const DecoderLoopC *loop)
    int64_t decoder_run(DecoderLoopC *loop, int64_t duration_ns, int until_idle)


def crash_points():
    """Return the names of all crash points, in the order of crash.h."""
    return crash_point_names()


def arm_crash(str name not None, long passage=1, int signal_number=9):
    """Let this process die by a signal (SIGKILL) at the n-th passage of a crash point of this module.

    Returns False, and does nothing, in a build without crash points.
    """
    return bool(arm_crash_point(name, passage, signal_number))


cdef void *_data(Mapping mapping, uint64_t size, bint write) except NULL:
    """Return the address of a segment's data after checking that `size` bytes are mapped."""
    if mapping.size < DATA_OFFSET or size > mapping.size - DATA_OFFSET:
        raise ValueError(f"a segment of {mapping.size} bytes, expected {size} behind the header")
    if write and not mapping.writable:
        raise ValueError("the mapping is read-only")
    return mapping.address + DATA_OFFSET


cdef uint64_t _capacity(Mapping mapping, uint64_t record_size) except? 0:
    """Return a segment's record count, checked against what is mapped."""
    cdef const SegmentHeaderC *header = <const SegmentHeaderC *>mapping.address
    if header.capacity > (mapping.size - DATA_OFFSET) // record_size:
        raise ValueError(f"a capacity of {header.capacity} does not fit {mapping.size} bytes")
    return header.capacity


cdef class Lane:
    """One connection's way through a decoder; made by `Decoder.add_lane`."""
    cdef LaneC *lane
    cdef object segments  # keeps the mappings alive

    def __dealloc__(self):
        if self.lane != NULL:
            token_map_free(&self.lane.tokens)
            PyMem_Free(self.lane.assignment_copy)
            PyMem_Free(self.lane.confirmed_keys)
            PyMem_Free(self.lane.assigned_mono_ns)
            PyMem_Free(self.lane.left_mono_ns)
            PyMem_Free(self.lane)

    @property
    def connection(self):
        """The connection's number."""
        return self.lane.connection

    @property
    def source_sequence(self):
        """The frame that is decoded next."""
        return self.lane.block.source_sequence

    @property
    def instruments(self):
        """How many instruments the assignment holds, as this lane last saw it."""
        return self.lane.tokens.active

    def skip(self, uint64_t source_sequence):
        """Quarantine that frame: announce it and go on behind it."""
        self.lane.skip_sequence = source_sequence

    def frame(self):
        """Return the bytes of the frame that is decoded next, or None; for the quarantine file."""
        cdef FrameDescriptorC descriptor
        cdef const uint8_t *data = NULL
        self.lane.source.cursor = self.lane.block.source_sequence
        if frame_ring_peek(&self.lane.source, &descriptor, &data) != RING_READY:
            return None
        return data[:descriptor.length]


cdef class Decoder:
    """All lanes of one decoder process, its latest table and its loop.

    `latest`, `bell`, `instance_bell`, `status`: writable mappings of this decoder's segments.
    Frames older than `catch_up_age_ns` are published at no more than `catch_up_ticks` per
    `catch_up_interval_ns` and connection, unless the source is `gated`. With `raw_only` no message
    is decoded: states and gaps are told, and there are no ticks.
    """
    cdef DecoderLoopC loop
    cdef list lanes
    cdef object segments
    cdef object word  # keeps what is watched alive
    cdef LatestSlotC *latest
    cdef uint32_t slot_count
    cdef LaneGroupC group

    def __cinit__(
        self, Mapping latest not None, Mapping bell not None, Mapping instance_bell not None,
        Mapping status not None, *, int64_t spin_ns=0, int64_t nap_ns=0,
        int64_t catch_up_age_ns=100_000_000,
        uint32_t catch_up_ticks=4096, int64_t catch_up_interval_ns=5_000_000, bint gated=False,
        bint raw_only=False,
    ):
        if not 0 <= nap_ns <= NAP_NS_MAX:
            raise ValueError(f"nap_ns {nap_ns}: expected 0 to {NAP_NS_MAX}")
        self.slot_count = _capacity(latest, sizeof(LatestSlotC))
        self.latest = <LatestSlotC *>_data(latest, self.slot_count * sizeof(LatestSlotC), True)
        self.group.rings.bell = <BellC *>_data(instance_bell, sizeof(BellC), True)
        self.loop.rings = &self.group.rings
        self.loop.bell = <BellC *>_data(bell, sizeof(BellC), True)
        self.loop.status = <DecoderStatusC *>_data(status, sizeof(DecoderStatusC), True)
        self.loop.spin_ns = spin_ns
        self.loop.naps.nap_ns = nap_ns
        self.loop.pace.age_ns_max = catch_up_age_ns
        self.loop.pace.interval_ticks = catch_up_ticks
        self.loop.pace.interval_ns = catch_up_interval_ns
        self.loop.pace.gated = gated
        self.loop.pace.raw_only = raw_only
        self._make_group()
        self.lanes = []
        self.segments = (latest, bell, instance_bell, status)

    def __dealloc__(self):
        PyMem_Free(self.loop.lanes)
        PyMem_Free(self.group.bases)
        PyMem_Free(self.group.holders)
        PyMem_Free(self.group.overlaps)

    cdef _make_group(self):
        cdef size_t slots = max(self.slot_count, 1)
        self.group.slot_count = self.slot_count
        self.group.bases = <TickBaseC *>PyMem_Calloc(slots, sizeof(TickBaseC))
        self.group.holders = <uint16_t *>PyMem_Calloc(slots, sizeof(uint16_t))
        # Large, and untouched but for instruments that move: then no memory is behind it.
        self.group.overlaps = <OverlapC *>PyMem_Calloc(slots, sizeof(OverlapC))
        if self.group.bases == NULL or self.group.holders == NULL or self.group.overlaps == NULL:
            raise MemoryError

    def add_lane(
        self, uint16_t connection, *, Mapping frames not None, Mapping ticks not None,
        Mapping events not None, Mapping assignment not None, Mapping confirmed not None,
    ):
        """Open a connection's lane where its last decoder stopped, and return it.

        `ticks`, `events` and `confirmed` must be writable. What a dead predecessor had
        committed is published before this returns. Raises ValueError for segments that do not
        fit together, MemoryError.
        """
        cdef Lane lane = Lane.__new__(Lane)
        lane.lane = <LaneC *>PyMem_Calloc(1, sizeof(LaneC))
        if lane.lane == NULL:
            raise MemoryError
        self._view_segments(lane.lane, frames, ticks, events, assignment, confirmed)
        lane.lane.connection = connection
        lane.segments = (frames, ticks, events, assignment, confirmed)
        before = self.lanes
        self._set_lanes([*before, lane])  # for it looks at all of them, itself too
        if lane_open(lane.lane):
            self._set_lanes(before)
            raise MemoryError
        return lane

    cdef _view_segments(
        self, LaneC *lane, Mapping frames, Mapping ticks, Mapping events, Mapping assignment,
        Mapping confirmed,
    ):
        if not frame_ring_view(&lane.source.ring, frames.address, frames.size):
            raise ValueError("the frame ring's header does not fit its segment")
        if not (ticks.writable and events.writable):
            raise ValueError("a lane writes its streams: map them writable")
        if not stream_view(&lane.ticks, ticks.address, ticks.size, True):
            raise ValueError("the tick stream's header does not fit its segment")
        if not stream_view(&lane.events, events.address, events.size, False):
            raise ValueError("the event stream's header does not fit its segment")
        lane.assignment_capacity = _capacity(assignment, sizeof(AssignmentC))
        lane.assignment_copy_bytes = (
            sizeof(TableHeadC) + lane.assignment_capacity * sizeof(AssignmentC))
        lane.assignment = _data(assignment, cell_bytes(lane.assignment_copy_bytes), False)
        if _capacity(confirmed, sizeof(ConfirmedC)) < self.slot_count:
            raise ValueError("the confirmed table has fewer slots than the latest table")
        lane.confirmed = <ConfirmedC *>_data(
            confirmed, self.slot_count * sizeof(ConfirmedC), True)
        lane.latest, lane.slot_count, lane.group = self.latest, self.slot_count, &self.group
        lane.status = self.loop.status
        lane.assignment_copy = <uint8_t *>PyMem_Malloc(lane.assignment_copy_bytes)
        lane.confirmed_keys = <uint64_t *>PyMem_Calloc(max(self.slot_count, 1), sizeof(uint64_t))
        lane.assigned_mono_ns = <int64_t *>PyMem_Calloc(max(self.slot_count, 1), sizeof(int64_t))
        lane.left_mono_ns = <int64_t *>PyMem_Calloc(max(self.slot_count, 1), sizeof(int64_t))
        if (lane.assignment_copy == NULL or lane.confirmed_keys == NULL
                or lane.assigned_mono_ns == NULL or lane.left_mono_ns == NULL):
            raise MemoryError

    cdef _set_lanes(self, list lanes):
        cdef Lane each
        cdef LaneC **pointers = <LaneC **>PyMem_Malloc((len(lanes) + 1) * sizeof(LaneC *))
        cdef Py_ssize_t i
        if pointers == NULL:
            raise MemoryError
        for i, each in enumerate(lanes):
            pointers[i] = each.lane
        PyMem_Free(self.loop.lanes)
        self.loop.lanes, self.loop.lane_count = pointers, len(lanes)
        self.group.lanes, self.group.lane_count = pointers, len(lanes)
        self.lanes = lanes

    def remove_lane(self, uint16_t connection):
        """Let go of a connection's lane and its segments; KeyError when there is none."""
        cdef Lane each
        kept = [each for each in self.lanes if each.lane.connection != connection]
        if len(kept) == len(self.lanes):
            raise KeyError(connection)
        for each in self.lanes:
            if each.lane.connection == connection:
                lane_close(each.lane)
        self._set_lanes(kept)

    def watch(self, Word word not None, uint64_t version):
        """Have `run` return early as soon as `word` is not `version`, looked at between rounds."""
        self.word = word
        self.loop.watched = <const uint64_t *>word.address
        self.loop.watched_version = version

    def run(self, int64_t duration_ns, *, bint until_idle=False):
        """Decode for `duration_ns`, sleeping on the bell when there is nothing to do.

        Returns the number of units committed; with `until_idle` it returns as soon as every
        frame ring is empty. Releases the GIL. Raises MemoryError.
        """
        cdef int64_t units
        with nogil:
            units = decoder_run(&self.loop, duration_ns, until_idle)
        if units < 0:
            raise MemoryError
        return units

    @property
    def has_work(self):
        """Whether any frame ring holds a message that was not decoded yet."""
        return bool(decoder_has_work(&self.loop))
