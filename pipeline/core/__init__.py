"""Floor 1: the words of the domain. No processes, no sockets, no shared memory."""
