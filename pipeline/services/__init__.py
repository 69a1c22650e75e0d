"""Readers and servers beside the data plane; any of them may be killed at any time. Floor 4."""
