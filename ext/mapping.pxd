"""The C side of `Mapping`: an address and a length that other extensions may keep."""
from libc.stdint cimport uint8_t, uint64_t


cdef class Mapping:
    cdef uint8_t *address
    cdef readonly uint64_t size
    cdef readonly bint writable
