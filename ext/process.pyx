"""What the operating system lets a process say about itself: its name, and when it should die.

Floor 0. Linux; elsewhere both do nothing, and a supervisor's death leaves its children behind.
"""

cdef extern from *:
    """
    #ifdef __linux__
    #include <sys/prctl.h>
    static int process_set_death_signal(int number) { return prctl(PR_SET_PDEATHSIG, number, 0, 0, 0); }
    static int process_set_name(const char *name) { return prctl(PR_SET_NAME, name, 0, 0, 0); }
    #else
    static int process_set_death_signal(int number) { (void)number; return 0; }
    static int process_set_name(const char *name) { (void)name; return 0; }
    #endif
    """
    int process_set_death_signal(int number)
    int process_set_name(const char *name)


cdef enum:
    NAME_BYTES_MAX = 15


def die_with_parent(int number):
    """Have this process get signal `number` when the thread that made it ends.

    A parent that died before this call sends nothing: compare getppid() afterwards. Children of
    this process do not inherit it; a program started by exec does.
    """
    if process_set_death_signal(number) != 0:
        raise ValueError(f"signal {number}: expected the number of a signal, or 0 for none")


def set_name(str name not None):
    """Name this process as tools such as top show it; what is over 15 bytes is cut."""
    cdef bytes raw = name.encode()[:NAME_BYTES_MAX]
    process_set_name(raw)
