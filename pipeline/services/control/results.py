"""What a plan comes to, as the answer to the client that asked. Floor 4; no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pipeline.planning.pool import Plan, Refusal, Want, Why
from pipeline.services.control.refused import Refused
from pipeline.services.control.windows import Window

#: So many refused instruments are named with their reasons in an answer; all are counted, and where
#: they are more, `refused_tokens` has all of them.
NAMED_MAX: Final = 1000


def result_of(requested: int, plan: Plan) -> dict[str, Any]:
    """Return what was taken of so many, and what was not, with its reason."""
    refused = len(plan.refused)
    result = {
        "requested": requested,
        "accepted": requested - refused,
        "already": plan.kept,
        "refused": [_refused_document(refusal) for refusal in plan.refused[:NAMED_MAX]],
        "refused_count": refused,
        "available": plan.available,
    }
    if refused > NAMED_MAX:
        result["refused_tokens"] = [refusal.token for refusal in plan.refused]
    return result


def tell_left_out(
    result: dict[str, Any], wants: Mapping[int, Want], windows: Sequence[Window],
    refused: set[int],
) -> None:  # fmt: skip
    """Add to a result what is left out because its window is not whole."""
    whole = [window for window in windows if refused.isdisjoint(window.wants)]
    taken = wants.keys() | {token for window in whole for token in window.wants}
    every = {token for window in windows for token in window.wants}
    left_out = sorted(every - taken - refused)
    result["accepted"] -= len(left_out)
    result["refused_count"] += len(left_out)
    result["refused"] += [
        {"instrument": token, "why": "window", "text": "there is no room for its whole window"}
        for token in left_out[: NAMED_MAX - len(result["refused"])]
    ]
    if result["refused_count"] > NAMED_MAX:
        result["refused_tokens"] = sorted(refused | set(left_out))


def refusal_of(requested: int, plan: Plan) -> Refused:
    """Return why a request of so many is not done, as it was to be whole."""
    reasons = [r.why for r in plan.refused if r.why is not Why.OTHERS_REFUSED]
    why = Counter(reasons or [Why.CAPACITY]).most_common(1)[0][0]
    detail = {"requested": requested, "accepted": 0, "available": plan.available}
    text = (
        f"{requested} instruments asked for, room for {plan.available} more: {why.text}. "
        "Nothing was changed; partial takes what there is room for"
    )
    return Refused("capacity", text, {**detail, "refused_count": len(reasons)})


def plan_document(plan: Plan, mirrors: Plan) -> dict[str, Any]:
    """Return where a plan puts how many, and which connections it opens.

    `mirrors`: the same of their second halves, where there is a wish for them.
    """
    found = _places_document(plan)
    if not mirrors.requested:
        return found
    seconds = {**_places_document(mirrors), "refused": len(mirrors.refused)}
    return {**found, "mirrors": seconds}


def _places_document(plan: Plan) -> dict[str, Any]:
    counts = Counter(plan.assign.values())
    opened = {new.ref: new for new in plan.open}
    return {
        "connections": {str(n): count for n, count in sorted(counts.items()) if n not in opened},
        "opened": [
            {"account": new.account, "seat": new.seat, "instruments": counts[new.ref]}
            for new in plan.open
        ],
    }


def _refused_document(refusal: Refusal) -> dict[str, Any]:
    return {"instrument": refusal.token, "why": str(refusal.why), "text": refusal.why.text}
