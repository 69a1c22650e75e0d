"""Mirrored instruments: on which second connection, and which of them give way. Floor 2; pure.

The second half of an instrument is on another connection than the first, and on one of the same
decoder, which tells what both deliver apart; on another account if one has room, else on another
connection of its own. Pins to an account and routes hold for both halves, a pin to a connection
for the first alone. Where there is not room for everything, second halves are what goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pipeline.planning.bench import Bench, KeyState, Seat
from pipeline.planning.policies import PlacementPolicy, Spread
from pipeline.planning.pool import ConnectionView, Plan, PoolView, Refusal, Want, Why


def mirror(
    tokens: Iterable[int], pool: PoolView, policy: PlacementPolicy, *, may_open: bool = True
) -> Plan:
    """Return where the second halves of instruments go that have a place; the urgent ones first.

    One that has a second half already gets another place for it, to which it can move. What is
    refused stays on one connection. A connection that has to open shares the first half's decoder.
    """
    bench = Bench(pool, policy)
    assign: dict[int, int] = {}
    refused: list[Refusal] = []
    hopeless: dict[tuple[object, ...], Why] = {}  # what is full stays full
    for want in _urgent_first(tokens, pool):
        token, number = want.instrument_token, pool.placement.get(want.instrument_token)
        alike = (number, *want._replace(instrument_token=0, connection=None, group=None))
        found = hopeless.get(alike) or _find(want, number, bench, may_open)
        if isinstance(found, Seat):
            found.take(want.mode)
            assign[token] = found.number
            continue
        refused.append(Refusal(token, found))
        if token not in pool.mirrors and token not in pool.moving:  # which may go nowhere else
            hopeless[alike] = found
    return Plan(assign=assign, open=tuple(bench.opened), refused=tuple(refused))


def crowded_out(pool: PoolView, policy: PlacementPolicy) -> list[int]:
    """Return the instruments that lose their second half, so that no limit is exceeded."""
    bench = Bench(replace(pool, mirrors={}), policy)
    found = []
    for want in _urgent_first(pool.mirrors, pool):
        seat = bench.by_number.get(pool.mirrors[want.instrument_token])
        if seat is not None and seat.has_room(want.mode):
            seat.take(want.mode)
        else:
            found.append(want.instrument_token)
    return found


def foresee(
    tokens: Iterable[int], plan: Plan, pool: PoolView, policy: PlacementPolicy
) -> Plan:  # fmt: skip
    """Return where second halves would go once a plan is carried out.

    What that plan opens has its reference, what opens for second halves alone one of its own.
    """
    top = max((view.number for view in pool.connections), default=-1) + 1
    numbers = {new.ref: top + n for n, new in enumerate(plan.open)}
    found = mirror(tokens, _after(plan, pool, numbers), policy)
    own = tuple(new._replace(ref=new.ref - len(numbers)) for new in found.open)
    references = {number: ref for ref, number in numbers.items()}
    references |= {new.ref + len(numbers): new.ref for new in own}
    found = found.numbered(references)
    used = set(found.assign.values())
    return replace(found, open=tuple(new for new in (*plan.open, *own) if new.ref in used))


def _after(plan: Plan, pool: PoolView, numbers: Mapping[int, int]) -> PoolView:
    limits = {key.account: key.instruments_per_connection for key in pool.keys}
    opened = (
        ConnectionView(
            number=numbers[new.ref], account=new.account, decoder=new.decoder, seat=new.seat,
            capacity=limits[new.account],
        )
        for new in plan.open
    )  # fmt: skip
    return replace(
        pool,
        connections=(*pool.connections, *opened),
        placement={**pool.placement, **plan.numbered(numbers).assign},
    )


def _urgent_first(tokens: Iterable[int], pool: PoolView) -> list[Want]:
    wants = map(pool.want, dict.fromkeys(tokens))
    return sorted(wants, key=lambda want: (-want.priority, want.instrument_token))


def _find(want: Want, number: int | None, bench: Bench, may_open: bool) -> Seat | Why:
    """Return the seat of a second half: another account's, be it opened, before the same one's.

    `number`: the first half's connection.
    """
    first = None if number is None else bench.by_number.get(number)
    if first is None:
        return Why.NO_CONNECTION
    keys = _keys(want, first, bench)
    away = [key for key in keys if key is not first.key]
    for group in (away, [key for key in keys if key is first.key]):
        seat = _best(want, first, group, bench)
        if seat is None and may_open:
            seat = _opened(want, first, group, bench)
        if seat is not None:
            return seat
    return _why(want, first, keys, bench)


def _keys(want: Want, first: Seat, bench: Bench) -> list[KeyState]:
    """Return the keys that may have it."""
    own = first.key.view.account if _stays(want, bench.policy) else want.account
    keys = [key for key in bench.keys.values() if own in (None, key.view.account)]
    routes = bench.policy.routes if bench.policy.effective_spread is Spread.CLASS else {}
    if own is None and want.priority in routes:
        names = routes[want.priority]
        keys = [key for key in keys if {key.view.account, key.view.broker} & set(names)]
    return [key for key in keys if key.serves(want)]


def _stays(want: Want, policy: PlacementPolicy) -> bool:
    """Whether nobody but its pins says where it goes, and none names an account."""
    return policy.effective_spread is Spread.MANUAL and want.account is None


def _others(want: Want, first: Seat, keys: Sequence[KeyState], bench: Bench) -> list[Seat]:
    pool, token = bench.pool, want.instrument_token
    taken = {first.number, pool.moving.get(token), pool.mirrors.get(token)}
    return [
        seat
        for seat in bench.seats
        if seat.may_take
        and seat.number not in taken
        and seat.decoder == first.decoder
        and seat.key in keys
    ]


def _best(want: Want, first: Seat, keys: Sequence[KeyState], bench: Bench) -> Seat | None:
    least = bench.policy.place_min_health
    others = _others(want, first, keys, bench)
    able = [seat for seat in others if seat.health >= least and seat.has_room(want.mode)]
    return min(able, key=lambda seat: (seat.fill, seat.order), default=None)


def _opened(want: Want, first: Seat, keys: Sequence[KeyState], bench: Bench) -> Seat | None:
    able = [key for key in keys if key.openable and key.probe(want.mode)]
    if not able:
        return None
    return bench.open(min(able, key=lambda key: (key.open_count, key.index)), first.decoder)


def _why(want: Want, first: Seat, keys: Sequence[KeyState], bench: Bench) -> Why:
    others = _others(want, first, keys, bench)
    if not others:
        return Why.NO_CONNECTION
    if any(seat.has_room(want.mode) for seat in others):
        return Why.UNHEALTHY
    if any(seat.free for seat in others):
        return Why.MODE_LIMIT
    has_spare = any(seat.count < seat.capacity for seat in others)
    return Why.KEY_LIMIT if has_spare else Why.CAPACITY
