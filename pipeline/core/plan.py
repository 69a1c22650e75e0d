"""What follows from a config: who carries which instrument, and how much room each needs.

Floor 1; pure. The segments' sizes in bytes follow from these capacities in `pipeline.shm.plan`.
Slots of a decoder's latest table are dealt out in blocks, one per connection, so that a
connection can be filled later without moving another one's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle
from typing import Final, NamedTuple

from pipeline.core.capacity import place
from pipeline.core.config import (
    AccountConfig,
    Config,
    ConnectionConfig,
    PoolConfig,
    RingsConfig,
)
from pipeline.core.config.checks import (
    FRAME_AREA_PER_MESSAGE,
    FRAME_HEAD_BYTES,
    PACKET_BYTES_MAX,
)
from pipeline.core.config.demands import demands_of
from pipeline.core.enums import Mode

FRAME_BYTES_PER_PACKET: Final = 192  # a full packet with its length, in its share of a frame
FRAME_RECORDS_MIN: Final = 1024
_PAGE: Final = 4096


class Wanted(NamedTuple):
    """An instrument to stream, and its place in the decoder's latest table."""

    instrument_token: int
    mode: Mode
    slot: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionPlan:
    """A connection with the capacities of its segments; sizes hold for its whole life."""

    number: int
    account: AccountConfig
    account_number: int  # of the page that all connections of one API key share
    decoder: int
    instruments_max: int
    first_slot: int
    wanted: tuple[Wanted, ...]
    frame_records: int
    frame_bytes: int
    tick_records: int
    event_records: int
    order_bytes: int
    text_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DecoderPlan:
    """A decoder: how many slots its latest table has, and the connections that it reads."""

    number: int
    slots: int
    connections: tuple[int, ...]


class Topology(NamedTuple):
    """The connections and decoders at the start, each by its number.

    `simulated`: with an exchange of ours. `pooled`: connections come and go; there are none at
    the start, and `possible` are as many as there may be, each as large as it can be.
    """

    connections: tuple[ConnectionPlan, ...]
    decoders: tuple[DecoderPlan, ...]
    simulated: bool = False
    pooled: bool = False
    possible: tuple[ConnectionPlan, ...] = ()


@lru_cache(maxsize=4)
def plan_topology(config: Config) -> Topology:
    """Return the plan of a checked config; the same config gives the same plan.

    It is kept, so that forked children find it made.
    """
    if any(subscription.forms for subscription in config.subscriptions):
        raise ValueError("names of instruments are left in the config: resolve_config comes first")
    if config.pool is not None:
        return _plan_pool(config, config.pool)
    capacities = [connection.instruments_max for connection in config.connections]
    wanted = place(demands_of(config), capacities).wanted
    slots = [0] * config.decoder.count
    plans = []
    for number, connection in enumerate(config.connections):
        plans.append(_plan(config, number, connection, slots[connection.decoder], wanted[number]))
        slots[connection.decoder] += connection.instruments_max
    decoders = tuple(
        DecoderPlan(
            number=number,
            slots=max(count, 1),
            connections=tuple(p.number for p in plans if p.decoder == number),
        )
        for number, count in enumerate(slots)
    )
    return Topology(tuple(plans), decoders, simulated=config.simulator is not None)


def _plan_pool(config: Config, pool: PoolConfig) -> Topology:
    """Room for the most connections that there may be, dealt out to their owners' decoders.

    A decoder has a slot for all that its owners' keys carry: which connections come to it in the
    course of days, as they drain, fail and have second halves, nobody can say.
    """
    assert pool.connections_per_key is not None
    assert pool.instruments_per_connection is not None
    instruments = pool.instruments_per_connection
    keys = sorted({_account_number(config, account) for account in config.accounts})
    accounts = [key for _ in range(pool.connections_per_key) for key in keys]
    turns = {owner: cycle(config.decoders_of(owner)) for owner in config.owners}
    possible = tuple(
        plan_connection(
            config,
            number,
            account=account,
            decoder=next(turns[config.accounts[account].owner]),
            instruments_max=instruments,
        )  # fmt: skip
        for number, account in enumerate(accounts)
    )

    def may_have(connection: ConnectionPlan, decoder: int) -> bool:
        return decoder in config.decoders_of(connection.account.owner)

    decoders = tuple(
        DecoderPlan(
            number=number,
            slots=max(1, sum(p.instruments_max for p in possible if may_have(p, number))),
            connections=(),
        )
        for number in range(config.decoder.count)
    )
    simulated = config.simulator is not None
    return Topology((), decoders, simulated=simulated, pooled=True, possible=possible)


def plan_connection(
    config: Config, number: int, *, account: int, decoder: int, instruments_max: int
) -> ConnectionPlan:
    """Return the plan of a connection of a pool; its instruments and slots are control's to say.

    account: the position of its `[[account]]`.
    """
    connection = ConnectionConfig(
        account=config.accounts[account].name, decoder=decoder, instruments_max=instruments_max
    )
    return _plan(config, number, connection, 0, ())


def _plan(
    config: Config,
    number: int,
    connection: ConnectionConfig,
    first_slot: int,
    wanted: tuple[tuple[int, str], ...],
) -> ConnectionPlan:
    account = config.account(connection.account)
    rings = config.rings
    return ConnectionPlan(
        number=number,
        account=account,
        account_number=_account_number(config, account),
        decoder=connection.decoder,
        instruments_max=connection.instruments_max,
        first_slot=first_slot,
        wanted=tuple(
            Wanted(token, Mode[mode.upper()], slot)
            for slot, (token, mode) in enumerate(wanted, first_slot)
        ),
        frame_records=connection.frame_records or _frame_records(rings, connection),
        frame_bytes=_frame_bytes(rings, connection),
        tick_records=connection.tick_records or rings.tick_records,
        event_records=rings.event_records,
        order_bytes=_round_up(rings.order_bytes),
        text_bytes=_round_up(rings.text_bytes),
    )


def _account_number(config: Config, account: AccountConfig) -> int:
    keys = [(a.broker, a.api_key) for a in config.accounts]
    return keys.index((account.broker, account.api_key))


def _packets(rings: RingsConfig, connection: ConnectionConfig) -> float:
    rate = rings.packets_per_instrument_per_s * connection.instruments_max
    return rings.seconds * rate


def _frame_records(rings: RingsConfig, connection: ConnectionConfig) -> int:
    # As many as packets: at worst each comes in a frame of its own.
    return max(FRAME_RECORDS_MIN, int(_packets(rings, connection)))


def _frame_bytes(rings: RingsConfig, connection: ConnectionConfig) -> int:
    chosen = connection.frame_bytes or rings.frame_bytes
    if chosen is not None:
        return _round_up(chosen)
    largest = FRAME_HEAD_BYTES + PACKET_BYTES_MAX * connection.instruments_max
    expected = int(_packets(rings, connection) * FRAME_BYTES_PER_PACKET)
    return _round_up(max(expected, FRAME_AREA_PER_MESSAGE * largest, 64 * 1024))


def _round_up(size: int) -> int:
    return -(-size // _PAGE) * _PAGE
