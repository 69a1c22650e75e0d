"""The gateway: OpenAlgo's WebSocket protocol over this instance's ticks. Floor 4.

`session` speaks with one client and `guard` decides about addresses; both do no I/O: bytes and
times come in, bytes and decisions go out. A reader of shared memory like any strategy: its death
costs nobody a tick.
"""
