"""Brokers' protocols, sans-I/O: no sockets, clocks, logs or shared memory. Floor 2."""
