"""Ticks and order updates for an OpenAlgo that runs already, over ZeroMQ. Floor 4.

A reader like any strategy, hosted by the supervisor where the config has a `[zeromq]` section.
"""
