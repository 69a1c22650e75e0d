"""Instruments by any of their names: a list on disk, a catalogue in memory. Floor 2.

    pipeline.find("NSE:INFY").instrument_token      # one: a query of the file
    catalogue = pipeline.instruments.load()         # all of them in memory
    catalogue.resolve(["NFO:NIFTY@weekly:24600+-10:CE,PE", 408065]).require()

Imports nothing of brokers, and asks nobody over a network.
"""

from __future__ import annotations

from pipeline.core.instrument import Instrument
from pipeline.instruments.catalogue import Catalogue, load
from pipeline.instruments.chains import Chain
from pipeline.instruments.lookup import Lookup, find
from pipeline.instruments.resolving import Expansion, Resolved, SpotPrice, Unknown, resolve
from pipeline.instruments.store import ListInfo, default_file, read_info, write_store

__all__ = [
    "Catalogue",
    "Chain",
    "Expansion",
    "Instrument",
    "ListInfo",
    "Lookup",
    "Resolved",
    "SpotPrice",
    "Unknown",
    "default_file",
    "find",
    "load",
    "read_info",
    "resolve",
    "write_store",
]
