"""What is said about scaling: the limits, the reasons, the advice. Floor 2; data only."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from pipeline.core.clock import NS_PER_S
from pipeline.planning.pool import NewConnection


class ScaleReason(StrEnum):
    """Why a connection is opened, closed or replaced."""

    MINIMUM = "minimum"  # fewer connections than are always kept
    HEADROOM = "headroom"  # few free places are left
    BYTE_RATE = "byte_rate"  # a decoder is near what it can do
    WARM = "warm"  # kept ready without instruments
    FITS_WITHOUT = "fits_without"  # the others have room for everything
    EMPTY = "empty"  # it carries nothing
    MANUAL = "manual"
    AGE = "age"
    SCORE = "score"


@dataclass(frozen=True, kw_only=True, slots=True)
class ScalingPolicy:
    """The limits of `[scaling]`.

    `decoder_bytes_per_s` is what a decoder was measured to do, None = not known. Warm connections
    count against their key; with `warm_at` (India's time) they are kept for `warm_for_s` from then
    on each day, else always. A connection is recycled at `recycle_age_ns` (None = at no age), or
    after so many checks in a row with a health below `recycle_health_min`.
    """

    connections_min: int = 0
    headroom: float = 0.05
    byte_rate_share_max: float = 0.70
    decoder_bytes_per_s: float | None = None
    shrink_fill_max: float = 0.70
    shrink_hold_ns: int = 600 * NS_PER_S
    shrink_across_decoders: bool = False
    warm_connections: int = 0
    warm_at: datetime.time | None = None
    warm_for_s: int = 3600
    recycle_age_ns: int | None = None
    recycle_health_min: float = 50.0
    recycle_checks: int = 3
    warn_share: float = 0.80


class History(NamedTuple):
    """What one judgement tells the next: pass it on as it is."""

    fits_since_ns: int | None = None
    fits_for: tuple[int, ...] = ()
    low_checks: Mapping[int, int] = MappingProxyType({})


class Opening(NamedTuple):
    """A connection to open."""

    new: NewConnection
    why: ScaleReason


class Closing(NamedTuple):
    """A connection to drain and close; `to` are those that take its instruments."""

    number: int
    why: ScaleReason
    to: tuple[int, ...] = ()


class Recycling(NamedTuple):
    """A connection to replace; `break_before_make`: its key has none to spare, so it goes first."""

    number: int
    why: ScaleReason
    break_before_make: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ScaleAdvice:
    """What to do now. `near_limit`: most of what all keys allow is taken."""

    history: History
    open: tuple[Opening, ...] = ()
    close: tuple[Closing, ...] = ()
    recycle: tuple[Recycling, ...] = ()
    busy_decoders: tuple[int, ...] = ()
    near_limit: bool = False
