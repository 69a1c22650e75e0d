"""What `doctor --instance` says of a running pool: the cause of each trouble, and what mends it."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import main
from pipeline.cli.doctor.finding import Finding, Level
from pipeline.cli.doctor.pool import MENDS, check, judge
from pipeline.core.enums import SegmentKind
from pipeline.services.control import facts
from pipeline.shm.instance import ManifestEntry
from tests.strategy.fake_control import FakeControl
from tests.strategy.writer import FakeInstance

STATS: dict[str, Any] = {
    "accounts": {
        "main": {"total_subscribed_tokens": 100, "limits": {"per_key": 9000}},
        "second": {"error": "KeyError", "message": "it failed"},
    },
    "decoders": [{"decoder": 0, "receive_to_publish_us": {"p99": 40.0}}],
    "pool": {"desired": 100, "confirmed": 99},
}


def alert(kind: str, severity: str = "error") -> dict[str, Any]:
    return {"kind": kind, "subject": "connection 1", "severity": severity, "text": "it is so"}


def test_all_is_well() -> None:
    assert list(judge([], STATS)) == [
        Finding(Level.OK, "pool", "100 instruments wanted, 99 have ticked; no alert is open")
    ]


def test_every_alert_has_what_mends_it() -> None:
    text = Path(facts.__file__).read_text()
    kinds = set(re.findall(r'Fact\(\s*"(\w+)"', text)) | set(re.findall(r': \("(\w+)", Sev', text))
    kinds |= {"capacity", "broker_error", "connection_down"}  # named by a variable there
    assert kinds == set(MENDS), kinds ^ set(MENDS)


@pytest.mark.parametrize(
    ("kind", "mend"),
    [
        ("orphans", "another API key"), ("token_rejected", "token login"),
        ("rate_limited", "no other program"), ("unconfirmed", "instruments show"),
        ("connection_hung", "killed and replaced"), ("decoder_lag", "[decoder] count"),
    ],
)  # fmt: skip
def test_a26_each_trouble_is_named_with_its_remedy(kind: str, mend: str) -> None:
    (found,) = judge([alert(kind)], STATS)
    assert found.level is Level.BAD and kind in found.text and "connection 1" in found.subject
    assert mend in found.mend
    (found,) = judge([alert(kind, "warning")], STATS)
    assert found.level is Level.WARN


def test_a_key_that_is_nearly_full_and_a_decoder_that_is_late_are_told() -> None:
    stats = copy.deepcopy(STATS)
    stats["accounts"]["main"]["total_subscribed_tokens"] = 8000
    stats["decoders"][0]["receive_to_publish_us"]["p99"] = 25_000.0
    full, late = judge([], stats)
    assert "8,000 instruments of the 9,000" in full.text and full.level is Level.WARN
    assert "published 25 ms after" in late.text and "[decoder] count" in late.mend


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[FakeInstance]:
    made = FakeInstance("demo", tmp_path)
    yield made
    if not made.ended:
        made.end()


def test_the_command_asks_the_instance(
    instance: FakeInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--instance", "demo", "--shm-directory", str(instance.paths.root))
    assert next(check("demo", instance.paths.root)).level is Level.OK  # it has no pool
    instance.entries.append(ManifestEntry(SegmentKind.CONTROL_STATUS, 0))
    instance.publish()
    with FakeControl(instance.paths.control_socket) as running:
        running.documents = {"alerts": {"open": [alert("orphans")]}, "stats": STATS}
        main.run(["doctor", *where])
        text = capsys.readouterr().out
        assert "orphans: it is so" in text and "-> sub rm what nobody needs" in text
    (dead,) = check("demo", instance.paths.root)
    assert dead.level is Level.BAD and "ticks go on" in dead.mend


def test_an_instance_that_is_not_there(tmp_path: Path) -> None:
    (found,) = check("demo", tmp_path)
    assert found.level is Level.BAD and "demo" in found.text
