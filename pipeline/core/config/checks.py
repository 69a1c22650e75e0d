"""What must hold between the keys of a config. Floor 1.

Each check is a generator of problems over a config whose single values were read; a required
value that was missing is None there and was reported already, so the checks pass over it.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from pipeline.core.capacity import BrokerLimits, place
from pipeline.core.config.demands import demands_of
from pipeline.core.config.fields import shorten
from pipeline.core.config.market import AccountConfig
from pipeline.core.config.pool_checks import check_placement
from pipeline.core.config.sections import Config
from pipeline.core.config.services import PoolConfig
from pipeline.core.config.terms import SIMULATOR_KEYS, SIMULATOR_URL, TOKEN_HINT
from pipeline.core.errors import Problem

CONNECTIONS_MAX: Final = 256

# A frame ring refuses messages over a quarter of its area: the largest that the broker can send
# (all instruments in full mode in one frame) must be below that.
FRAME_AREA_PER_MESSAGE: Final = 4
FRAME_HEAD_BYTES: Final = 2
PACKET_BYTES_MAX: Final = 186
_REPEATS_SHOWN_MAX: Final = 5
_AREA_HINT: Final = "a ring takes messages up to a quarter of itself: all instruments in full mode"


def check(config: Config, limits: Mapping[str, BrokerLimits]) -> list[Problem]:
    """Return every problem between keys; `limits` has the numbers of each broker."""
    return [
        *_accounts(config),
        *_owners(config),
        *(_pool(config, limits) if config.pool else _connections(config, limits)),
        *check_placement(config),
        *_connections_per_key(config, limits),
        *_subscriptions(config),
        *_strategies(config),
        *check_places(config),
        *_timers(config),
        *_rings(config),
        *_supervisor(config),
        *_raw_only(config),
        *_api(config),
        *_gateway(config),
        *_zeromq(config),
        *_simulator(config),
    ]


def check_places(config: Config) -> list[Problem]:
    """Return every instrument that is wanted twice or finds no room; again once names are known."""
    return [*_repeats(config), *_room(config)]


def _accounts(config: Config) -> Iterator[Problem]:
    names = Counter(account.name for account in config.accounts if account.name)
    for number, account in enumerate(config.accounts):
        path = f"account[{number}]"
        if names[account.name] > 1:
            yield Problem(f"{path}.name", shorten(account.name), "a name of its own")
        yield from _credentials(path, account, any_key=config.simulator is not None)
    if not config.accounts:
        yield Problem("account", "none", "at least one [[account]]")


def _credentials(path: str, account: AccountConfig, *, any_key: bool) -> Iterator[Problem]:
    if account.url == SIMULATOR_URL and any_key:
        return  # that exchange is told the keys of this file
    if account.simulated:
        if account.access_token is None and account.api_key not in (None, *SIMULATOR_KEYS):
            allowed = "one of " + ", ".join(SIMULATOR_KEYS)
            hint = "the keys that the simulated exchange knows, each with the key as its token"
            yield Problem(f"{path}.api_key", shorten(account.api_key), allowed, hint)
    elif account.access_token is None:
        allowed = 'a reference: "file:PATH" (mode 0600) or "env:NAME"'
        yield Problem(f"{path}.access_token", "nothing", allowed, TOKEN_HINT)


def _owners(config: Config) -> Iterator[Problem]:
    """Whatever one owner could see of another's is refused here."""
    keys: dict[tuple[str, str], AccountConfig] = {}
    for number, account in enumerate(config.accounts):
        first = keys.setdefault((account.broker, account.api_key), account)
        if account.api_key and first.owner != account.owner:
            found = f'"{account.owner}", with the key of account {first.name}'
            allowed = f'"{first.owner}": orders of a key come on all of its connections'
            yield Problem(f"account[{number}].owner", found, allowed)
    count = len(config.owners)
    if count > 1 and config.instance.assignment != "config":
        found = f'"{config.instance.assignment}"'
        yield Problem("instance.assignment", found, '"config" with accounts of several owners')
    if config.pool is not None and config.decoder.count < count:
        allowed = f"at least {count}, one for each owner: {', '.join(config.owners)}"
        hint = "connections of different owners share no decoder"
        yield Problem("decoder.count", str(config.decoder.count), allowed, hint)
    yield from _shared_decoders(config)
    yield from _subscribers(config)


def _shared_decoders(config: Config) -> Iterator[Problem]:
    owners = {account.name: account.owner for account in config.accounts}
    first: dict[int, str] = {}
    for number, connection in enumerate(config.connections):
        owner = owners.get(connection.account)
        if owner is not None and first.setdefault(connection.decoder, owner) != owner:
            found = f"{connection.decoder}, which has connections of {first[connection.decoder]}"
            allowed = f"a decoder with connections of {owner} alone"
            hint = "raise [decoder] count: owners share no decoder, as they may want the same"
            yield Problem(f"connection[{number}].decoder", found, allowed, hint)


def _subscribers(config: Config) -> Iterator[Problem]:
    accounts = {account.name: account.owner for account in config.accounts}
    carriers = [accounts.get(connection.account) for connection in config.connections]
    names = ", ".join(filter(None, config.owners))
    for number, subscription in enumerate(config.subscriptions):
        path, owner = f"subscription[{number}].owner", subscription.owner
        at = subscription.connection
        carrier = carriers[at] if at is not None and at < len(carriers) else None
        if owner is None and len(config.owners) > 1 and config.owner_of(subscription) is None:
            yield Problem(path, "nothing", f"one of the accounts' owners: {names}")
        elif owner is not None and owner not in config.owners:
            yield Problem(path, shorten(owner), f"the owner of an [[account]]: {names}")
        elif owner is not None and carrier not in (None, owner):
            found = f"{owner}, on connection {at}"
            yield Problem(path, found, f"{carrier}, whose connection {at} is")


def _connections(config: Config, limits: Mapping[str, BrokerLimits]) -> Iterator[Problem]:
    known = {account.name: account for account in config.accounts}
    if not 1 <= len(config.connections) <= CONNECTIONS_MAX:
        found = str(len(config.connections) or "none")
        yield Problem("connection", found, f"1 to {CONNECTIONS_MAX} [[connection]] tables")
    for number, connection in enumerate(config.connections):
        path = f"connection[{number}]"
        account = known.get(connection.account)
        if connection.account is not None and account is None:
            allowed = "the name of an [[account]]: " + (
                ", ".join(filter(None, known)) or "none yet"
            )
            yield Problem(f"{path}.account", shorten(connection.account), allowed)
        if connection.decoder >= config.decoder.count:
            allowed = f"less than [decoder] count = {config.decoder.count}"
            yield Problem(f"{path}.decoder", str(connection.decoder), allowed)
        limit = limits.get(account.broker) if account else None
        if limit and connection.instruments_max > limit.instruments_per_connection:
            allowed = f"at most {limit.instruments_per_connection}, the broker's limit"
            yield Problem(f"{path}.instruments_max", str(connection.instruments_max), allowed)


def _pool(config: Config, limits: Mapping[str, BrokerLimits]) -> Iterator[Problem]:
    pool = config.pool
    assert pool is not None
    if config.connections:
        allowed = "none with [pool], which opens and closes connections by itself"
        yield Problem("connection", str(len(config.connections)), allowed)
    if config.instance.assignment != "config":
        found = f'"{config.instance.assignment}"'
        yield Problem("instance.assignment", found, '"config" with [pool]')
    keys: dict[tuple[str, str], str] = {}
    for number, account in enumerate(config.accounts):
        first = keys.setdefault((account.broker, account.api_key), account.name)
        if account.api_key and first != account.name:
            found = f"the key of account {first}"
            allowed = "a key of its own: a pool's connections are counted by key"
            yield Problem(f"account[{number}].api_key", found, allowed)
    found_limits = [limits[a.broker] for a in config.accounts if a.broker in limits]
    for name, field in (
        ("connections_per_key", "connections_per_key"),
        ("instruments_per_connection", "instruments_per_connection"),
    ):
        chosen = getattr(pool, name)
        limit = min((getattr(found, field) for found in found_limits), default=None)
        if chosen is not None and limit is not None and chosen > limit:
            yield Problem(f"pool.{name}", str(chosen), f"at most {limit}, the broker's limit")
    yield from _pool_room(config, pool)


def _pool_room(config: Config, pool: PoolConfig) -> Iterator[Problem]:
    if pool.connections_per_key is None or pool.instruments_per_connection is None:
        return
    keys = len({(a.broker, a.api_key) for a in config.accounts})
    connections = keys * pool.connections_per_key
    if not 0 < connections <= CONNECTIONS_MAX:
        found = f"{connections} over {keys} API keys"
        yield Problem("pool.connections_per_key", found, f"at most {CONNECTIONS_MAX} in all")
    for owner in config.owners:
        yield from _room_of(owner, config, pool)
    if pool.warm_connections > connections:
        yield Problem("pool.warm_connections", str(pool.warm_connections), f"at most {connections}")


def _room_of(owner: str, config: Config, pool: PoolConfig) -> Iterator[Problem]:
    """An owner's instruments have to fit on the connections of his own keys."""
    assert pool.connections_per_key is not None and pool.instruments_per_connection is not None
    keys = len({(a.broker, a.api_key) for a in config.accounts if a.owner == owner})
    connections = keys * pool.connections_per_key
    room = connections * pool.instruments_per_connection
    own = (s for s in config.subscriptions if config.owner_of(s) == owner)
    wanted = len({token for s in own for token in s.tokens})
    if wanted > room:
        whose = f" of {owner}" if len(config.owners) > 1 else ""
        found = f"{wanted} instruments{whose}"
        allowed = (
            f"at most {room}: {connections} connections with {pool.instruments_per_connection}"
        )
        yield Problem("subscription", found, allowed, "another [[account]] adds connections")


def _connections_per_key(config: Config, limits: Mapping[str, BrokerLimits]) -> Iterator[Problem]:
    accounts = {account.name: account for account in config.accounts}
    used = [accounts[c.account] for c in config.connections if c.account in accounts]
    for (broker, key), count in Counter((a.broker, a.api_key) for a in used).items():
        limit = limits.get(broker)
        if limit and key is not None and count > limit.connections_per_key:
            names = ", ".join(sorted({a.name for a in used if a.api_key == key}))
            allowed = f"at most {limit.connections_per_key} for one API key, the broker's limit"
            yield Problem("connection", f"{count} with the key of account {names}", allowed)


def _subscriptions(config: Config) -> Iterator[Problem]:
    if config.instance.assignment != "config" and config.subscriptions:
        found = f"{len(config.subscriptions)}"
        allowed = f'none with [instance] assignment = "{config.instance.assignment}"'
        yield Problem("subscription", found, allowed, "two writers of one table would disagree")
    for number, subscription in enumerate(config.subscriptions):
        path = f"subscription[{number}]"
        given = [
            name
            for name in ("instruments", "file", "simulated")
            if getattr(subscription, name) is not None
        ]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            yield Problem(path, found, "exactly one of instruments, file, simulated")
        wanted = subscription.connection
        if wanted is not None and config.pool is not None:
            allowed = "nothing with [pool], which chooses the connection"
            yield Problem(f"{path}.connection", str(wanted), allowed)
        elif wanted is not None and wanted >= len(config.connections):
            allowed = f"less than {len(config.connections)}, the number of [[connection]] tables"
            yield Problem(f"{path}.connection", str(wanted), allowed)


def _strategies(config: Config) -> Iterator[Problem]:
    labels = Counter(strategy.label for strategy in config.strategies if strategy.entry)
    if config.zeromq is not None:
        labels["zeromq"] += 1  # what the bridge is called, beside them
    for number, strategy in enumerate(config.strategies):
        if strategy.entry and labels[strategy.label] > 1:
            path = f"strategy[{number}].name"
            hint = "without a name it is called after its class" if strategy.name is None else ""
            yield Problem(path, shorten(strategy.label), "a name of its own", hint)
        if strategy.owner is not None and strategy.owner not in config.owners:
            allowed = f"the owner of an [[account]]: {', '.join(filter(None, config.owners))}"
            yield Problem(f"strategy[{number}].owner", shorten(strategy.owner), allowed)


def _repeats(config: Config) -> Iterator[Problem]:
    first: dict[tuple[str | None, int], int] = {}
    for number, subscription in enumerate(config.subscriptions):
        owner = config.owner_of(subscription)
        repeated = [token for token in subscription.tokens if (owner, token) in first]
        own = Counter(subscription.tokens)
        repeated += [
            token for token, count in own.items() if count > 1 and (owner, token) not in first
        ]
        if repeated:
            shown = ", ".join(map(str, repeated[:_REPEATS_SHOWN_MAX]))
            more = len(repeated) - _REPEATS_SHOWN_MAX
            found = f"{shown}{f' and {more} more' if more > 0 else ''} again"
            places = sorted({first.get((owner, token), number) for token in repeated})
            hint = "also in " + ", ".join(f"subscription[{place}]" for place in places)
            yield Problem(f"subscription[{number}]", found, "each instrument once", hint)
        for token in subscription.tokens:
            first.setdefault((owner, token), number)


def _room(config: Config) -> Iterator[Problem]:
    capacities = [connection.instruments_max for connection in config.connections]
    count = len(capacities)
    demands = [
        demand if (demand.connection or 0) < count else demand._replace(tokens=())
        for demand in demands_of(config)
    ]
    if not capacities:
        return
    for number, left in enumerate(place(demands, capacities).unplaced):
        if left:
            wanted, among = demands[number].connection, demands[number].among
            where = "all connections" if among is None else "all connections of its owner"
            room = sum(capacities[n] for n in among or range(count))
            if wanted is not None:
                where, room = f"connection {wanted}", capacities[wanted]
            found = f"{left} instruments without a place"
            allowed = f"at most {room} instruments on {where}"
            hint = "add a [[connection]], or raise instruments_max up to the broker's limit"
            yield Problem(f"subscription[{number}]", found, allowed, hint)


def _timers(config: Config) -> Iterator[Problem]:
    feed = config.feed
    if feed.ping_after_s >= feed.stall_after_s:
        allowed = f"less than stall_after_s = {feed.stall_after_s:g}"
        yield Problem("feed.ping_after_s", f"{feed.ping_after_s:g}", allowed)
    if feed.backoff_min_s > feed.backoff_max_s:
        allowed = f"at most backoff_max_s = {feed.backoff_max_s:g}"
        yield Problem("feed.backoff_min_s", f"{feed.backoff_min_s:g}", allowed)
    hours = config.session.hours
    if hours is not None and hours.open >= hours.close:
        found = f"{hours.open:%H:%M} to {hours.close:%H:%M}"
        yield Problem("session.hours", found, "an opening before the closing, on the same day")


def _rings(config: Config) -> Iterator[Problem]:
    if config.pool is not None and config.pool.instruments_per_connection is not None:
        instruments, area = config.pool.instruments_per_connection, config.rings.frame_bytes
        least = FRAME_AREA_PER_MESSAGE * (FRAME_HEAD_BYTES + PACKET_BYTES_MAX * instruments)
        if area is not None and area < least:
            yield Problem("rings.frame_bytes", str(area), f"at least {least}", _AREA_HINT)
    for number, connection in enumerate(config.connections):
        path, area = f"connection[{number}].frame_bytes", connection.frame_bytes
        if area is None:
            path, area = "rings.frame_bytes", config.rings.frame_bytes
        message = FRAME_HEAD_BYTES + PACKET_BYTES_MAX * connection.instruments_max
        least = FRAME_AREA_PER_MESSAGE * message
        if area is not None and area < least:
            why = f"{connection.instruments_max} instruments in full mode make a frame of"
            hint = f"{why} {message} bytes, and a ring takes messages up to a quarter of itself"
            yield Problem(path, str(area), f"at least {least}", hint)


def _supervisor(config: Config) -> Iterator[Problem]:
    pauses = config.supervisor.restart_backoff_s
    if any(later < earlier for earlier, later in pairwise(pauses)):
        found = ", ".join(f"{pause:g}" for pause in pauses)
        yield Problem("supervisor.restart_backoff_s", found, "pauses that do not become shorter")


def _raw_only(config: Config) -> Iterator[Problem]:
    """What goes by ticks has none: a pool moves what has ticked, a gateway sends ticks."""
    if not config.decoder.raw_only:
        return
    gated = config.simulator is not None and bool(config.simulator.gate)
    users = {"[pool]": config.pool, "[gateway]": config.gateway, "[simulator] gate": gated or None}
    found = [name for name, section in users.items() if section is not None]
    if found:
        yield Problem("decoder.raw_only", "true", f"false with {', '.join(found)}")


def _api(config: Config) -> Iterator[Problem]:
    if config.api is None:
        return
    if config.pool is None:
        hint = "the control process serves it, and there is one with a pool only"
        yield Problem("api", "a section without [pool]", "one with [pool]", hint)
    yield from _proxies("api", config.api.trusted_proxies)


def _gateway(config: Config) -> Iterator[Problem]:
    gateway = config.gateway
    if gateway is None:
        return
    if not is_loopback(gateway.host) and not gateway.allow_insecure:
        hint = (
            "keys and data would travel unencrypted: leave it on loopback behind a reverse proxy "
            "that speaks TLS (docs/gateway.md), or set allow_insecure = true"
        )
        yield Problem("gateway.host", gateway.host, "an address of this host alone", hint)
    if gateway.early_message_bytes > gateway.message_bytes:
        found, allowed = str(gateway.early_message_bytes), f"at most {gateway.message_bytes}"
        yield Problem("gateway.early_message_bytes", found, f"{allowed}, which is message_bytes")
    yield from _proxies("gateway", gateway.trusted_proxies)


def _proxies(section: str, proxies: Sequence[str]) -> Iterator[Problem]:
    for number, proxy in enumerate(proxies):
        try:
            ipaddress.ip_network(proxy)
        except ValueError:
            allowed = "an address, or a network such as 10.0.0.0/8"
            yield Problem(f"{section}.trusted_proxies[{number}]", proxy, allowed)


def _zeromq(config: Config) -> Iterator[Problem]:
    bridge = config.zeromq
    if bridge is None:
        return
    allowed = f"the owner of an [[account]]: {', '.join(filter(None, config.owners))}"
    if bridge.owner is None and len(config.owners) > 1:
        yield Problem("zeromq.owner", "nothing", allowed)
    elif bridge.owner is not None and bridge.owner not in config.owners:
        yield Problem("zeromq.owner", shorten(bridge.owner), allowed)


def is_loopback(host: str) -> bool:
    """Return whether a host's name or address is this host itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _simulator(config: Config) -> Iterator[Problem]:
    simulator = config.simulator
    if not any(account.simulated for account in config.accounts):
        for number, subscription in enumerate(config.subscriptions):
            if subscription.simulated is not None:
                allowed = "instruments or file, as no account is of the simulated exchange"
                yield Problem(f"subscription[{number}].simulated", "a range", allowed)
    if simulator is None:
        for number, account in enumerate(config.accounts):
            if account.url == SIMULATOR_URL:
                allowed = "a [simulator] section in this file, or the address of one that runs"
                yield Problem(f"account[{number}].url", f'"{SIMULATOR_URL}"', allowed)
        return
    if (simulator.tls_certificate is None) != (simulator.tls_key is None):
        given, other = ("tls_key", "tls_certificate")[:: 1 if simulator.tls_key else -1]
        yield Problem(f"simulator.{given}", "without the other", f"together with {other}")
    for number, subscription in enumerate(config.subscriptions):
        wanted = subscription.simulated
        if wanted is not None and wanted.count is not None:
            end = wanted.first + wanted.count
            if end > simulator.instruments:
                allowed = f"at most [simulator] instruments = {simulator.instruments}"
                found = f"first + count = {end}"
                yield Problem(f"subscription[{number}].simulated", found, allowed)
    if simulator.gate and simulator.mode != "load":
        yield Problem("simulator.gate", shorten(simulator.gate), 'nothing, unless mode = "load"')
