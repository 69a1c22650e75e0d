"""The screen's document: the figures of `stat` and `top`, in JSON's types, in the page's shape."""

from __future__ import annotations

import json
from typing import Any

from pipeline.services.control.screen.document import FEED_ERRORS, state_document
from pipeline.services.control.screen.instruments import Placed, instruments_document, placed
from pipeline.services.status.recent import NOTHING, Looks, take_look
from tests.screen import figures
from tests.services.status.establish import Established


def test_figures_are_those_of_the_snapshot(established: Established) -> None:
    established.feeds[1].record["reconnects"] = 7
    established.commit(2, ticks_out=42, frames_in=42, gaps_out=3)
    look = take_look(established.paths)
    found = json.loads(json.dumps(state_document(look.status, NOTHING)))
    assert found["instance"]["name"] == "whole" and found["instance"]["live"] is True
    rows = {row["number"]: row for row in found["connections"]}
    assert rows[1]["reconnects"] == 7
    assert (rows[2]["ticks"], rows[2]["gaps"]) == (42, 3)
    assert (rows[0]["assigned"], rows[0]["wire"], rows[0]["confirmed"]) == (20, 18, 12)
    assert rows[0]["ticks_per_s"] is None, "a single look has no rates"
    assert found["decoders"][0]["latency"] is None
    assert found["decoders"][0]["latency_since_start"]["samples"] == 1


def test_what_moves_is_that_of_the_window(established: Established) -> None:
    looks = Looks()
    looks.add(take_look(established.paths))
    established.lanes[0].write_ticks(100)
    established.decoder.histogram("receive_to_publish").record(2_000_000)
    look = take_look(established.paths)
    found = state_document(look.status, looks.add(look))
    assert found["connections"][0]["ticks_per_s"] > 0
    assert found["connections"][1]["ticks_per_s"] == 0
    assert found["decoders"][0]["latency"]["samples"] == 1


def test_errors_are_counters_that_a_feed_has(established: Established) -> None:
    [first, *_] = take_look(established.paths).status.connections
    assert set(FEED_ERRORS) <= first.feed_counters.keys()


def keys(found: Any) -> Any:
    """Return the shape of a document: the keys, at every depth."""
    if isinstance(found, dict):
        return {key: keys(value) for key, value in found.items()}
    if isinstance(found, list):
        return [keys(found[0])] if found else []
    return None


def test_the_page_is_tested_with_the_shape_that_there_is(established: Established) -> None:
    look = take_look(established.paths)
    found = keys(state_document(look.status, NOTHING))
    scripted = keys(figures.document(3, 60, 0.0))
    for name in ("instance", "connections", "processes"):
        assert found[name] == scripted[name], name
    assert found["decoders"][0].keys() == scripted["decoders"][0].keys()


def test_an_instrument_that_moves_is_there_once() -> None:
    rows = placed({"a": {"0": [3, 1], "1": [3]}, "b": {"2": [2]}})
    assert rows == [Placed(1, 0, "a"), Placed(2, 2, "b"), Placed(3, 1, "a")]


def test_names_are_split_and_strangers_have_none() -> None:
    rows = [Placed(1, 0, "a"), Placed(2, 0, "a"), Placed(3, 1, "b")]
    names = {1: "NSE:INFY", 3: "NFO:NIFTY28MAR2420800CE"}
    found = instruments_document(rows, names.get, "")
    assert found["rows"] == [
        [1, "NSE", "INFY", 0, "a"], [2, "", "", 0, "a"], [3, "NFO", "NIFTY28MAR2420800CE", 1, "b"],
    ]  # fmt: skip
    assert found["unnamed"] == 1
