"""Whether everything is accounted for: the exchange's log against the strategy's. Floor 6."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.cli.demo.scenario import FAST, SLOW, TRUTH_NAME
from pipeline.sim.truth import read_truth
from pipeline.sim.verify import Verdict, gap_dtype, received_dtype, verify


@dataclass
class Outcome:
    """What the logs say; `problems` is empty when every tick is accounted for."""

    verdict: Verdict
    fast: dict[str, Any]
    slow: dict[str, Any]
    problems: list[str] = field(default_factory=list)


def judge(folder: Path) -> Outcome:
    """Compare the logs in `folder`, after everybody has ended."""
    fast, slow = _summary(folder, FAST), _summary(folder, SLOW)
    received = _log(folder / f"{FAST}.log")
    outcome = Outcome(verify(read_truth(folder / TRUTH_NAME), received, _gaps(fast)), fast, slow)
    outcome.problems += list(_problems(outcome))
    return outcome


def _summary(folder: Path, name: str) -> dict[str, Any]:
    path = folder / f"{name}.json"
    if not path.exists():
        return {}
    summary: dict[str, Any] = json.loads(path.read_text())
    return summary


def _log(path: Path) -> np.ndarray[Any, Any]:
    if not path.exists() or path.stat().st_size < received_dtype.itemsize:
        return np.empty(0, received_dtype)
    return np.memmap(path, received_dtype, mode="r")


def _gaps(summary: dict[str, Any]) -> np.ndarray[Any, Any]:
    told = [t for t in summary.get("told", []) if t["kind"] == "Gap"]
    rows = [
        (t["connection"], t["start_ts_ns"], t["end_ts_ns"], True, t["instrument_token"] or 0)
        for t in told
    ]
    return np.array(rows, gap_dtype)


def _problems(outcome: Outcome) -> list[str]:
    found = []
    verdict, fast, slow = outcome.verdict, outcome.fast, outcome.slow
    if not fast or not slow:
        found.append("a strategy did not finish its log")
        return found
    counts = {
        "ticks lost outside every announced gap": verdict.lost_outside_gaps,
        "gaps in whose midst ticks were received": verdict.gaps_too_wide,
        "ticks doubled": verdict.doubled,
        "ticks out of order": verdict.out_of_order,
        "ticks that were never sent": verdict.unexplained,
        "ticks that the fast strategy was too slow for": fast["lost"],
        "holes in the fast strategy's sequences that nobody announced": fast["unannounced"],
        "holes in the slow strategy's sequences that nobody announced": slow["unannounced"],
    }
    found += [f"{count:,} {what}" for what, count in counts.items() if count]
    if not verdict.sent or not verdict.received:
        found.append(
            f"{verdict.sent:,} ticks sent, {verdict.received:,} received: nothing to compare"
        )
    if verdict.received != fast["delivered"]:
        found.append(
            f"the log has {verdict.received:,} ticks, the strategy was given {fast['delivered']:,}"
        )
    return found
