"""Exhaustive small models of the shared-memory protocols: every interleaving, every death."""
