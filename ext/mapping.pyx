"""A file mapped into memory, without a descriptor kept open behind it.

Floor 0. The standard library's mmap holds a duplicate of the descriptor for as long as the
mapping lives; with a dozen segments a connection that is most of a process's descriptors.
"""
from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_FillInfo
from libc.errno cimport errno
from libc.stdint cimport uint8_t, uint64_t

import os


cdef extern from "sys/mman.h" nogil:
    void *mmap(void *address, size_t length, int protection, int flags, int fd, long offset)
    int munmap(void *address, size_t length)
    int PROT_READ
    int PROT_WRITE
    int MAP_SHARED
    void *MAP_FAILED


cdef class Mapping:
    """`size` bytes of an open file, shared with every other process that maps it.

    The descriptor may be closed at once. Supports the buffer protocol (numpy, memoryview);
    read-only unless `writable`. The memory is unmapped when the object is collected and never
    earlier: numpy keeps only a reference to its owner, not a buffer, so that a close() could not
    know which arrays it would pull the memory from under. Raises OSError when the kernel refuses.
    """

    def __cinit__(self, int fd, uint64_t size, *, bint writable=False):
        cdef void *address
        if size == 0:
            raise ValueError("cannot map an empty file")
        address = mmap(
            NULL, size, PROT_READ | PROT_WRITE if writable else PROT_READ, MAP_SHARED, fd, 0)
        if address == MAP_FAILED:
            raise OSError(errno, os.strerror(errno))
        self.address = <uint8_t *>address
        self.size = size
        self.writable = writable

    def __getbuffer__(self, Py_buffer *view, int flags):
        if flags & PyBUF_WRITABLE and not self.writable:
            raise BufferError("the mapping is read-only")
        PyBuffer_FillInfo(view, self, self.address, self.size, not self.writable, flags)

    def __len__(self):
        return self.size

    def __dealloc__(self):
        if self.address != NULL:
            munmap(self.address, self.size)
