"""What is wanted by hand outlives the control process, and nothing else of the ledger does."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pipeline.core.enums import Mode
from pipeline.planning.pool import Priority, Want
from pipeline.services.control.durable import DurableDemand
from pipeline.services.control.ledger import Ledger

BY_HAND = {
    1: Want(1, Mode.FULL, Priority.HOT, "pair", "main", 3),
    2: Want(2, Mode.LTP),
}


def demand(folder: Path) -> DurableDemand:
    return DurableDemand(folder / "durable.json", reserved=frozenset({"config"}))


def ledger_of(*, durable: dict[int, Want], other: dict[int, Want]) -> Ledger:
    ledger = Ledger()
    ledger.join("cli", durable=True)
    ledger.replace("cli", durable)
    for name, is_durable in (("config", True), ("mean.1", False)):
        ledger.join(name, durable=is_durable)
        ledger.replace(name, other)
    return ledger


def test_a_successor_knows_what_was_wanted_by_hand(tmp_path: Path) -> None:
    demand(tmp_path).save(ledger_of(durable=BY_HAND, other={9: Want(9)}))
    assert (tmp_path / "durable.json").stat().st_mode & 0o777 == 0o600
    again = Ledger()
    kept = demand(tmp_path)
    kept.restore(again)
    assert again.clients.keys() == {"cli"}
    assert again.clients["cli"].wants == BY_HAND and again.clients["cli"].durable
    assert again.desired == BY_HAND
    (tmp_path / "durable.json").unlink()
    kept.save(again)  # nothing new
    assert not (tmp_path / "durable.json").exists()
    again.remove("cli", [1])
    kept.save(again)
    third = Ledger()
    demand(tmp_path).restore(third)
    assert third.desired.keys() == {2}


def test_what_was_given_up_does_not_come_back(tmp_path: Path) -> None:
    ledger = ledger_of(durable=BY_HAND, other={})
    kept = demand(tmp_path)
    kept.save(ledger)
    ledger.replace("cli", {})
    kept.save(ledger)
    again = Ledger()
    demand(tmp_path).restore(again)
    assert again.clients == {}


@pytest.mark.parametrize("content", [b"", b"{", b'{"cli": [[1, 99]]}', b'{"cli": "all"}', b"\xff"])
def test_a_broken_file_is_told_and_costs_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    (tmp_path / "durable.json").write_bytes(content)
    ledger = Ledger()
    with caplog.at_level(logging.WARNING):
        demand(tmp_path).restore(ledger)
    assert ledger.clients == {}
    assert "durable.json: cannot be read" in caplog.text


def test_a_file_that_cannot_be_written_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = demand(tmp_path / "nowhere")
    ledger = ledger_of(durable=BY_HAND, other={})
    with caplog.at_level(logging.WARNING):
        kept.save(ledger)
        kept.save(ledger)
    assert caplog.text.count("cannot be written") == 1


def test_the_file_is_written_after_a_request_only_if_something_changed(tmp_path: Path) -> None:
    ledger = ledger_of(durable=BY_HAND, other={})
    kept = demand(tmp_path)
    kept.save(ledger)
    written = (tmp_path / "durable.json").stat().st_mtime_ns
    ledger.add("mean.1", {7: Want(7)})
    kept.save(ledger)
    assert (tmp_path / "durable.json").stat().st_mtime_ns == written
