"""How many instruments each connection should carry. Floor 2; pure."""

from __future__ import annotations

from collections.abc import Sequence


def fair_counts(
    counts: Sequence[int], capacities: Sequence[int], *, by_fill: bool
) -> tuple[int, ...]:
    """Return the balanced counts with the same total that are reached by the fewest moves.

    `by_fill`: each carries the same share of its capacity; else each carries the same number,
    as far as its capacity goes. What does not divide stays where there is most of it.
    """
    total = sum(counts)
    if by_fill:
        room = sum(capacities)
        fair = [total * capacity // room if room else 0 for capacity in capacities]
    else:
        fair = _equal(total, capacities)
    rest = total - sum(fair)
    able = [n for n in range(len(fair)) if fair[n] < capacities[n]]
    able.sort(key=lambda n: counts[n] - fair[n], reverse=True)
    for n in able[:rest]:
        fair[n] += 1
    return tuple(fair)


def _equal(total: int, capacities: Sequence[int]) -> list[int]:
    """Return equal whole shares, where small capacities leave more to the others."""
    fair = list(capacities)
    left = total
    order = sorted(range(len(capacities)), key=lambda n: capacities[n])
    for position, n in enumerate(order):
        share = left // (len(order) - position)
        if share < capacities[n]:
            for other in order[position:]:
                fair[other] = share
            break
        left -= capacities[n]
    return fair
