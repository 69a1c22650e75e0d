"""Autobahn|Testsuite's fuzzing server as a child process, and its verdicts."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.autobahn import echo_client

# 9: performance. 12 and 13: compression, which no client of ours offers.
EXCLUDED: Final = ["9.*", "12.*", "13.*"]
START_DEADLINE_S: Final = 30.0


def run_suite(wstest: Path, directory: Path) -> dict[str, dict[str, str]]:
    """Run every case; return {case: {behavior, behaviorClose, ...}}."""
    with _serving(wstest, directory) as port:
        for case in range(1, echo_client.count_cases(port) + 1):
            echo_client.run_case(port, case)
        echo_client.update_reports(port)
    index = json.loads((directory / "reports" / "index.json").read_text())
    verdicts: dict[str, dict[str, str]] = index[echo_client.AGENT]
    return verdicts


def tally(verdicts: dict[str, dict[str, str]], key: str) -> dict[str, int]:
    """Count the verdicts of one kind: `behavior` or `behaviorClose`."""
    return dict(Counter(verdict[key] for verdict in verdicts.values()))


@contextmanager
def _serving(wstest: Path, directory: Path) -> Iterator[int]:
    port = _free_port()
    specification = {
        "url": f"ws://127.0.0.1:{port}",
        "outdir": str(directory / "reports"),
        "webport": 0,
        "cases": ["*"],
        "exclude-cases": EXCLUDED,
        "exclude-agent-cases": {},
    }
    file = directory / "specification.json"
    file.write_text(json.dumps(specification))
    with (directory / "wstest.log").open("wb") as log:
        server = subprocess.Popen(
            [wstest, "-m", "fuzzingserver", "-s", file],
            cwd=directory,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_for_port(port, server)
            yield port
        finally:
            server.kill()
            server.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def _wait_for_port(port: int, server: subprocess.Popen[bytes]) -> None:
    end_s = time.monotonic() + START_DEADLINE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            assert server.poll() is None, "the fuzzing server ended at once; see its wstest.log"
            assert time.monotonic() < end_s, "the fuzzing server does not listen"
            time.sleep(0.05)
        else:
            return
