"""`sim` and `sim truth` on the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.cli.main import run
from pipeline.sim.truth import create_truth
from tests.sim.harness import simulator


def test_truth_prints_a_summary_or_every_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "truth"
    options = ("--instruments", "50", "--interval", "0.02", "--truth", str(path))
    with simulator(tmp_path, *options) as running, running.client(connection=2) as client:
        client.subscribe([408065, 256265])
        for _ in range(5):
            client.frame()
    assert run(["sim", "truth", str(path), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["packets"] >= 5 and summary["sessions"][0]["connection"] == 2
    assert summary["dtype"][0] == ["send_ts_ns", "<i8"]
    assert run(["sim", "truth", str(path), "--json", "--records"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == summary["packets"]
    assert lines[0]["instrument_token"] == 408065 and "reserved" not in lines[0]
    assert run(["sim", "truth", str(path)]) == 0
    assert "session 0 (connection 2)" in capsys.readouterr().out


def test_an_empty_log_and_a_file_that_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "truth"
    os.close(create_truth(path, {}))
    assert run(["sim", "truth", str(path)]) == 0
    assert "0 packets" in capsys.readouterr().out
    path.write_text("something else")
    assert run(["sim", "truth", str(path)]) == 1
    assert "no truth log" in capsys.readouterr().err
    assert run(["sim", "truth", str(tmp_path / "missing")]) == 78


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--mode", "fast", "--rate", "-1"], ["--mode", "--rate"]),
        (["--rate", "quick"], ["--rate"]),
        (["--gate", "reader"], ["--gate", "--instance-directory"]),
        (["--tls-cert", "x"], ["--tls-key"]),
    ],
)
def test_wrong_options_end_with_78_and_every_problem(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["sim", *arguments]) == 78
    found = capsys.readouterr().err
    assert all(word in found for word in words)


def test_a_bad_script_and_a_taken_port_are_told_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "script.json"
    script.write_text('[{"action": "explode", "at_s": 1}]')
    assert run(["sim", "--faults", str(script)]) == 78
    assert "faults[0].action" in capsys.readouterr().err
    assert run(["sim", "--faults", str(tmp_path / "missing.toml")]) == 78
    with simulator(tmp_path, "--instruments", "10") as running:
        assert run(["sim", "--port", str(running.port)]) == 1
        assert "choose another --port" in capsys.readouterr().err


def test_running_in_a_thread_leaves_signals_alone_and_nothing_open(tmp_path: Path) -> None:
    from contextlib import ExitStack

    from pipeline.sim.options import SimulatorOptions
    from pipeline.sim.server import Server

    before = {entry.name for entry in Path("/proc/self/fd").iterdir()}
    handler = signal.getsignal(signal.SIGTERM)
    options = SimulatorOptions(instruments=10, truth=tmp_path / "t", control=tmp_path / "c")
    with ExitStack() as stack:
        server = Server(options, stack, None, None, None)
        thread = threading.Thread(target=server.run)
        thread.start()
        server.stop(signal.SIGTERM, None)
        thread.join(20)
    assert not thread.is_alive() and signal.getsignal(signal.SIGTERM) is handler
    assert {entry.name for entry in Path("/proc/self/fd").iterdir()} == before and not (
        tmp_path / "c"
    ).exists()


def test_without_websockets_there_is_one_sentence() -> None:
    program = (
        "import sys; sys.modules['websockets'] = None\n"
        "from pipeline.cli.main import run; sys.exit(run(['sim']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert "pip install" in done.stderr and "websockets" in done.stderr
