"""Pools and wishes of two sizes for the benchmarks of planning: full to the last tenth. No I/O.

1 key for 9,000 instruments, 12 for 100,000.
"""

from __future__ import annotations

from pipeline.planning.policies import Growth, PlacementPolicy, Policy
from pipeline.planning.pool import ConnectionView, KeyView, PoolView, Priority, Want

KEYS = {9_000: 1, 100_000: 12}
ROUTES = {priority: ("kite",) for priority in Priority}


def settings(name: Policy) -> PlacementPolicy:
    """Return a policy as it is measured: all connections are open."""
    return PlacementPolicy(policy=name, growth=Growth.ALL, routes=ROUTES)


def make_wants(count: int, name: Policy) -> list[Want]:
    """Return so many wishes, of all priorities; with accounts where a policy asks for them."""
    keys = KEYS[count]
    wants = [Want(256 * n + 1, priority=Priority(n % 4), group=f"g{n % 97}") for n in range(count)]
    if name is Policy.MANUAL:
        wants = [want._replace(account=f"key-{n % keys}") for n, want in enumerate(wants)]
    return wants


def make_pool(count: int, *, shift: int = 0) -> PoolView:
    """Return a pool of open connections; `shift` of 100 instruments are on the first of a key."""
    keys = tuple(KeyView(account=f"key-{n}") for n in range(KEYS[count]))
    views = tuple(
        ConnectionView(number=3 * n + seat, account=key.account, seat=seat)
        for n, key in enumerate(keys)
        for seat in range(3)
    )
    wants = make_wants(count, Policy.LEAST_LOADED) if shift else []
    capacity = 3 * len(views)
    placement = {
        want.instrument_token: 3 * (n % capacity // 9) if n % 100 < shift else n % len(views)
        for n, want in enumerate(wants)
    }
    rates = {want.instrument_token: 1.0 + n % 7 for n, want in enumerate(wants)}
    return PoolView(
        keys=keys, connections=views, placement=placement, packet_rates=rates,
        wants={want.instrument_token: want._replace(group=None) for want in wants},
    )  # fmt: skip
