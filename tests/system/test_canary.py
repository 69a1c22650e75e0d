"""A canary for a token: whatever goes wrong, it shows in no log at debug level, and nowhere else.

Accepted, refused, answered with errors, sent to nobody, written into the wrong key of the config,
and in the hands of a feed that ends by an error of its own.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.core.enums import Reason, SegmentKind, State
from pipeline.sim.control import ControlClient
from tests.system.judge import Witness, control_of
from tests.system.rig import DEADLINE_S, Run, wait_for

Make = Callable[..., Run]
CANARY = "cAnArYtOkEn0123456789abcdef"

#: Accounts whose handshakes fail before HTTP: refused, no such host, no TLS there.
ELSEWHERE = """
[[account]]
name = "refused"
url = "ws://127.0.0.1:9"
api_key = "demo2"
access_token = "file:token"
[[account]]
name = "unknown"
url = "wss://nowhere.invalid"
api_key = "demo2"
access_token = "file:token"
[[connection]]
account = "refused"
[[connection]]
account = "unknown"
[[subscription]]
instruments = [1000001]
connection = 3
[[subscription]]
instruments = [1000002]
connection = 4
[feed]
connect_timeout_s = 2.0
backoff_max_s = 0.5
"""


def write_token(folder: Path, token: str) -> None:
    """Put a token in place at once, as people are told to."""
    temporary = folder / "token.new"
    temporary.touch(0o600)
    temporary.write_text(token)
    temporary.replace(folder / "token")


def holds_it(path: Path) -> bool:
    """Whether the canary stands in a file; in none that has gone meanwhile."""
    try:
        return CANARY.encode() in path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def assert_shown_nowhere(run: Run) -> None:
    """Fail if the canary stands in a log, a command line, or a file of the instance.

    But for the text rings: what a server says is kept as it was said, for its owner alone.
    """
    files = [path for path in run.paths.root.rglob("*") if path.is_file()]
    shown = [run.log, *(path for path in files if path.suffix != ".text")]
    shown += [Path(f"/proc/{pid}/cmdline") for pid in run.running()]
    shown += list(run.folder.glob("*.told"))
    assert [str(path) for path in shown if holds_it(path)] == []


def tell(run: Run, *arguments: str) -> str:
    """Return what one of our commands prints."""
    line = [sys.executable, "-m", "pipeline", *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=True, timeout=60).stdout


def reconnect(run: Run, control: ControlClient, action: str, **parameters: object) -> None:
    """End connection 0 with an action of the exchange, and wait until it is back."""
    epoch = int(run.page(0)["connection_epoch"])
    control.command(action, connection=0, **parameters)
    wait_for(lambda: int(run.page(0)["connection_epoch"]) > epoch, f"the end by {action}")
    wait_for(lambda: run.is_complete(0), "the connection to be back")


def test_a_token_shows_nowhere_whatever_goes_wrong(make_run: Make, tmp_path: Path) -> None:
    write_token(tmp_path, "demo")
    run = make_run(account='access_token = "file:token"', more=ELSEWHERE).start_and_wait()
    Witness(run)
    with control_of(run) as control:
        control.command("rotate_token", key="demo", token=CANARY)
        write_token(tmp_path, CANARY)
        reconnect(run, control, "reset")
        for status in (500, 404):
            control.command("refuse", status=status, count=2)
            reconnect(run, control, "bad_text", kind="utf8")
        assert int(run.page(0)["handshake_failures"]) == 4
        control.command("text", text='{"type": "error", "data": "access_token=' + CANARY + '"}')
        wait_for(lambda: int(run.page(0)["server_errors"]), "the error text")
        control.command("rotate_token", key="demo", token="another")
        control.command("reset", connection=1)
        wait_for(lambda: run.state(1) is State.AUTH_EXPIRED, "the 403")
    for connection, reason in ((3, Reason.CONNECT_FAILED), (4, Reason.RESOLVE_FAILED)):
        failures = run.page(connection)
        wait_for(lambda f=failures: int(f["handshake_failures"]) > 1, reason.name)  # type: ignore[misc]
    wire = run.paths.segment(SegmentKind.WIRE, 2)
    shutil.move(wire, aside := tmp_path / "wire")
    run.kill("feed 2")
    wait_for(lambda: "Traceback" in run.log.read_text(), "a feed to end by an error of its own")
    shutil.move(aside, wire)
    assert_shown_nowhere(run)
    assert CANARY not in tell(run, "config", "show", str(run.config))
    assert run.stop() == 0
    text = run.log.read_text()
    assert "AUTH_EXPIRED" in text and "500" in text and "nowhere.invalid" in text
    assert "the server says" in text
    assert_shown_nowhere(run)
    run.assert_nothing_left()


def test_a_token_in_the_wrong_place_is_refused_unseen(make_run: Make) -> None:
    run = make_run(
        account=f'access_token = "{CANARY}"',
        more=f'[[account]]\nname = "b"\napi_key = "k"\nurl = "wss://a.b/?access_token={CANARY}"\n'
        f'[feed]\naccess_token = "{CANARY}"\n',
    ).start()
    assert run.process is not None
    assert run.process.wait(DEADLINE_S) == 78
    assert "access_token" in run.log.read_text() and "url" in run.log.read_text()
    assert_shown_nowhere(run)
    run.assert_nothing_left()
