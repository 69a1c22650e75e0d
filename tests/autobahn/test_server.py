"""The gateway's sockets under Autobahn|Testsuite's fuzzing client, cases 1 to 7 and 10."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.autobahn.fuzzing_server import EXCLUDED, tally
from tests.autobahn.test_autobahn import CASES, INSTALLER
from tests.services.gateway.echo import serving

AGENT: Final = "gateway"


async def _fuzz(wstest: Path, directory: Path) -> dict[str, dict[str, str]]:
    """Let the fuzzing client loose on an echo behind the gateway's channels."""
    async with serving() as echo:
        specification = {
            "outdir": str(directory / "reports"),
            "servers": [{"agent": AGENT, "url": f"ws://127.0.0.1:{echo.port}"}],
            "cases": ["*"],
            "exclude-cases": EXCLUDED,
            "exclude-agent-cases": {},
        }
        file = directory / "specification.json"
        file.write_text(json.dumps(specification))
        with (directory / "wstest.log").open("wb") as log:
            client = await asyncio.create_subprocess_exec(
                wstest, "-m", "fuzzingclient", "-s", file, cwd=directory,
                stdout=log, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            try:
                await client.wait()
            finally:
                if client.returncode is None:
                    client.kill()
                    await client.wait()
    index = json.loads((directory / "reports" / "index.json").read_text())
    verdicts: dict[str, dict[str, str]] = index[AGENT]
    return verdicts


def _demand_no_failure(wstest: Path, directory: Path) -> None:
    verdicts = asyncio.run(_fuzz(wstest, directory))
    bad = {
        case: verdict
        for case, verdict in verdicts.items()
        if verdict["behavior"] not in ("OK", "NON-STRICT", "INFORMATIONAL")
        or verdict["behaviorClose"] not in ("OK", "INFORMATIONAL")
    }
    print("behavior", tally(verdicts, "behavior"), "close", tally(verdicts, "behaviorClose"))
    assert not bad
    assert len(verdicts) == CASES


@pytest.mark.full
@pytest.mark.timeout(900)
def test_the_fuzzing_client_finds_no_failure(tmp_path: Path) -> None:
    """Every case is run; none fails, and none closes badly."""
    named = os.environ.get("AUTOBAHN_WSTEST")
    if named:
        _demand_no_failure(Path(named).absolute(), tmp_path)
        return
    installed = subprocess.run([INSTALLER], capture_output=True, text=True, check=False)
    if installed.returncode != 0:
        pytest.skip(f"the testsuite cannot be installed: {installed.stderr.strip()[-300:]}")
    _demand_no_failure(Path(installed.stdout.strip().splitlines()[-1]), tmp_path)
