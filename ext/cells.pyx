"""Cells, words and bells of a mapped segment, for code that is not hot.

Floor 0. These classes hold a mapping alive and a pointer into it; every method is one C call.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from ext.layout cimport BellC, CellHeadC, HistogramC
from ext.mapping cimport Mapping


cdef extern from "cell.h" nogil:
    uint64_t cell_bytes_ "cell_bytes" (uint64_t copy_bytes)
    void cell_write(void *cell, const void *value, uint64_t copy_bytes)
    uint64_t cell_version(const void *cell)
    int cell_try_read(const void *cell, void *value, uint64_t copy_bytes, uint64_t *version)
    int compare_and_swap(uint64_t *word, uint64_t expected, uint64_t desired)
    uint64_t load_acquire(const uint64_t *word)
    void store_release(uint64_t *word, uint64_t value)
    void cpu_pause()

cdef extern from "bell.h" nogil:
    uint32_t bell_look(const BellC *bell)
    void bell_arm(BellC *bell)
    int bell_sleep(BellC *bell, uint32_t seen, int64_t timeout_ns)
    void bell_ring(BellC *bell)

cdef extern from "histogram.h" nogil:
    void histogram_record(HistogramC *histogram, uint64_t value)
    uint64_t histogram_quantile(const HistogramC *histogram, double quantile)


cdef enum:
    READ_ATTEMPTS = 100_000


def cell_size(uint64_t copy_bytes):
    """Return the bytes that a two-copy cell of `copy_bytes` takes in its segment."""
    return cell_bytes_(copy_bytes)


cdef void *_at(Mapping mapping, uint64_t offset, uint64_t size, bint write) except NULL:
    if offset % 8 or offset > mapping.size or size > mapping.size - offset:
        raise ValueError(f"{size} bytes at {offset} do not fit a mapping of {mapping.size} bytes")
    if write and not mapping.writable:
        raise ValueError("the mapping is read-only")
    return mapping.address + offset


cdef class Cell:
    """A two-copy cell of `copy_bytes` at `offset`; one process writes, any number read."""
    cdef Mapping mapping
    cdef void *head
    cdef readonly uint64_t copy_bytes

    def __init__(self, Mapping mapping not None, uint64_t offset, uint64_t copy_bytes):
        self.head = _at(mapping, offset, cell_bytes_(copy_bytes), False)
        self.mapping = mapping
        self.copy_bytes = copy_bytes

    @property
    def version(self):
        """How often the cell has been written."""
        return cell_version(self.head)

    def write(self, const unsigned char[::1] value not None):
        """Replace the value by exactly `copy_bytes` bytes."""
        if not self.mapping.writable:
            raise ValueError("the mapping is read-only")
        if <uint64_t>value.shape[0] != self.copy_bytes:
            raise ValueError(f"a value of {value.shape[0]} bytes, expected {self.copy_bytes}")
        cell_write(self.head, &value[0], self.copy_bytes)

    def read_into(self, unsigned char[::1] target not None):
        """Copy a consistent value into `target` (`copy_bytes` long) and return its version.

        Raises RuntimeError when no copy held still in 100,000 attempts: its writer is broken.
        """
        cdef uint64_t version = 0
        cdef int attempt, done = 0
        if <uint64_t>target.shape[0] != self.copy_bytes:
            raise ValueError(f"a target of {target.shape[0]} bytes, expected {self.copy_bytes}")
        for attempt in range(READ_ATTEMPTS):
            done = cell_try_read(self.head, &target[0], self.copy_bytes, &version)
            if done:
                return version
            cpu_pause()
        raise RuntimeError("a two-copy cell never held still; its writer is broken")


cdef class Word:
    """One shared 64-bit word, with acquire loads, release stores and compare-and-swap."""

    def __init__(self, Mapping mapping not None, uint64_t offset):
        self.address = <uint64_t *>_at(mapping, offset, 8, False)
        self.mapping = mapping

    def load(self):
        """Return the value."""
        return load_acquire(self.address)

    def store(self, uint64_t value):
        """Store the value."""
        if not self.mapping.writable:
            raise ValueError("the mapping is read-only")
        store_release(self.address, value)

    def compare_and_swap(self, uint64_t expected, uint64_t desired):
        """Store `desired` if the word holds `expected`; return whether it did."""
        if not self.mapping.writable:
            raise ValueError("the mapping is read-only")
        return bool(compare_and_swap(self.address, expected, desired))


cdef class Bell:
    """Wakes sleeping readers; see bell.h for the order of steps."""

    def __init__(self, Mapping mapping not None, uint64_t offset):
        self.bell = <BellC *>_at(mapping, offset, sizeof(BellC), True)
        self.mapping = mapping

    def look(self):
        """Return the word to pass to `sleep`; take it before looking at the tails."""
        return bell_look(self.bell)

    def arm(self):
        """Say that a reader is about to sleep; look at the tails once more after it."""
        bell_arm(self.bell)

    def sleep(self, uint32_t seen, int64_t timeout_ns):
        """Sleep until rung or for `timeout_ns`; return whether it was rung."""
        cdef int rung
        with nogil:
            rung = bell_sleep(self.bell, seen, timeout_ns)
        return bool(rung)

    def ring(self):
        """Wake all sleepers; costs no system call when there are none."""
        bell_ring(self.bell)


cdef class Histogram:
    """A latency histogram in shared memory, in nanoseconds; see histogram.h."""
    cdef Mapping mapping
    cdef HistogramC *histogram

    def __init__(self, Mapping mapping not None, uint64_t offset):
        self.histogram = <HistogramC *>_at(mapping, offset, sizeof(HistogramC), False)
        self.mapping = mapping

    def record(self, uint64_t value_ns):
        """Count one sample."""
        if not self.mapping.writable:
            raise ValueError("the mapping is read-only")
        histogram_record(self.histogram, value_ns)

    def quantile(self, double quantile):
        """Return the value in ns below which `quantile` (0 to 1) of the samples lie, 0 without any."""
        return histogram_quantile(self.histogram, quantile)

    @property
    def total(self):
        """The number of samples."""
        return load_acquire(&self.histogram.total)
