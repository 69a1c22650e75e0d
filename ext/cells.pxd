"""Bells and words for Cython: the feed's read loop rings and looks without the interpreter."""
from libc.stdint cimport uint64_t

from ext.layout cimport BellC
from ext.mapping cimport Mapping


cdef class Bell:
    cdef Mapping mapping
    cdef BellC *bell


cdef class Word:
    cdef Mapping mapping
    cdef uint64_t *address
