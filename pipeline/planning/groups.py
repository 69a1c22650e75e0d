"""A group goes to one connection, if one has room for it. Floor 2; pure.

Where the group has a member already, or one that is pinned, the others follow. What does not fit
there goes to as few further connections as possible: being together is a wish, being streamed is
the purpose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from pipeline.planning.bench import Seat
from pipeline.planning.lanes import Lane
from pipeline.planning.policies import Policy
from pipeline.planning.pool import PoolView, Want, Why

if TYPE_CHECKING:
    from pipeline.planning.placement import Placer

_NOWHERE: Final = -(2**31)


def place_group(placer: Placer, members: Sequence[Want], anchors: Mapping[str, int]) -> None:
    """Place the members of one group that have no place yet, in their order.

    `anchors` has the connections of the groups that have one.
    """
    pinned = [want for want in members if want.connection is not None]
    free = [want for want in members if want.connection is None]
    for want in pinned:
        placer.place_one(want)
    seat = _anchor(placer, members, anchors)
    if seat is None and placer.policy.policy is Policy.MANUAL:
        for want in free:
            placer.place_one(want)
        return
    for left, want in zip(range(len(free), 0, -1), free, strict=True):
        if seat is None or not _may_take(placer, want, seat):
            seat = _roomiest(placer, want, left)
        if seat is None:
            placer.place_one(want)  # finds a place or the reason
        else:
            placer.take(want, seat)


def _anchor(placer: Placer, members: Sequence[Want], anchors: Mapping[str, int]) -> Seat | None:
    """Return where the group is already."""
    for want in members:
        if want.instrument_token in placer.assign:
            return placer.bench.by_number[placer.assign[want.instrument_token]]
    seat = placer.bench.by_number.get(anchors.get(members[0].group or "", _NOWHERE))
    return seat if seat is not None and seat.may_take else None


def find_anchors(pool: PoolView) -> dict[str, int]:
    """Return the connection on which each group has its first member that is placed."""
    anchors: dict[str, int] = {}
    for token, want in pool.wants.items():
        if want.group is not None and token in pool.placement:
            anchors.setdefault(want.group, pool.placement[token])
    return anchors


def _may_take(placer: Placer, want: Want, seat: Seat) -> bool:
    own_account = want.account in (None, seat.key.view.account)
    return own_account and seat.may_take and seat.key.serves(want) and seat.has_room(want.mode)


def _roomiest(placer: Placer, want: Want, count: int) -> Seat | None:
    """Return the least loaded seat with room for `count`, else a new one, else the emptiest."""
    lane = placer.lane(want)
    if isinstance(lane, Why):
        return None
    seats = _healthy(placer, lane, want)
    able = [seat for seat in seats if seat.free >= count]
    largest = max((key.view.instruments_per_connection for key in lane.keys), default=0)
    is_worth_it = not seats or largest >= count
    if not able and is_worth_it and any(tier.open_one(want.mode) for tier in lane.tiers):
        able = [placer.bench.seats[-1]]
    if able:
        return min(able, key=lambda seat: (seat.fill, seat.order))
    return max(seats, key=lambda seat: (seat.free, -seat.order), default=None)


def _healthy(placer: Placer, lane: Lane, want: Want) -> list[Seat]:
    least = placer.policy.place_min_health
    seats = (seat for seat in placer.bench.seats if seat.key in lane.keys and seat.health >= least)
    return [seat for seat in seats if _may_take(placer, want, seat)]
