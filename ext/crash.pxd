"""Crash points for Cython: each module that runs a loop arms its own, see crash.h."""


cdef extern from "crash.h" nogil:
    const char *CRASH_POINT_NAMES[1]
    enum:
        CRASH_POINT_COUNT
    int crash_arm(int point, long passage, int signal_number)


cdef inline list crash_point_names():
    return [CRASH_POINT_NAMES[i].decode() for i in range(CRASH_POINT_COUNT)]


cdef inline bint arm_crash_point(str name, long passage, int signal_number) except -1:
    return crash_arm(crash_point_names().index(name), passage, signal_number)
