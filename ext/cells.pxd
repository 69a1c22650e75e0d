"""Bells for Cython: the feed's read loop rings without the interpreter."""
from ext.layout cimport BellC
from ext.mapping cimport Mapping


cdef class Bell:
    cdef Mapping mapping
    cdef BellC *bell
