"""kiteconnect's own samples run with the import changed, and so does our example."""

from __future__ import annotations

import inspect
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import metadata
from pathlib import Path

import pytest
from kiteconnect import ticker as their_module

from tests.ext.frames import close_frame, server_frame
from tests.feed.scripted_server import Peer, serving
from tests.kite.exchange import BINARY, Session, ltp, packets
from tests.sim.harness import Simulator

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "strategies" / "kite_ticker.py"
PATIENCE_S = 60

#: As in kiteconnect's repository, examples/threaded_ticker.py; the loop there has no end.
THREADED = """
import logging, time
from kiteconnect import KiteTicker
logging.basicConfig(level=logging.DEBUG)
kws = KiteTicker("your_api_key", "your_access_token")
tokens = [738561, 5633]
ended = []

def on_ticks(ws, ticks):
    if len(ticks) > 0:
        logging.info("Current mode: {}".format(ticks[0]["mode"]))

def on_connect(ws, response):
    logging.info("Successfully connected. Response: {}".format(response))
    ws.subscribe(tokens)
    ws.set_mode(ws.MODE_FULL, tokens[:1])

def on_close(ws, code, reason):
    logging.info("Connection closed: {code} - {reason}".format(code=code, reason=reason))
    ended.append(code)

kws.on_ticks = on_ticks
kws.on_close = on_close
kws.on_connect = on_connect
kws.connect(threaded=True)
logging.info("This is main thread. Will change webosocket mode every 5 seconds.")
while not ended:
    if kws.is_connected():
        kws.set_mode(kws.MODE_FULL, [738561])
    time.sleep(0.02)
kws.stop()
"""


def samples() -> dict[str, str]:
    """Return the programs of kiteconnect's README and of its class's docstring."""
    readme = str(metadata("kiteconnect").get_payload())
    [in_readme] = [
        code for code in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "kws." in code
    ]
    docstring = inspect.getdoc(their_module.KiteTicker) or ""
    in_class = docstring.partition("#!python\n")[2].partition("\nCallbacks\n")[0]
    return {"readme": in_readme, "class": inspect.cleandoc("    " + in_class), "thread": THREADED}


def one_session(peer: Peer) -> None:
    """Stream two instruments once they are subscribed, and go home."""
    peer.upgrade()
    session = Session(peer)
    session.read_until(lambda modes: modes == {738561: "full", 5633: "quote"})
    peer.send(server_frame(BINARY, packets(ltp(738561, 1234.5), ltp(5633, 99.0))))
    peer.stopping.wait(0.2)
    peer.send(close_frame(1000, b"good night"))
    session.read_until_close()


@pytest.mark.parametrize("name", ["readme", "class", "thread"])
def test_a_sample_of_kiteconnect_runs_with_the_import_changed(name: str) -> None:
    program = samples()[name]
    assert "from kiteconnect import KiteTicker" in program
    program = program.replace("from kiteconnect import", "from pipeline.kite import")
    with serving(one_session) as server:
        program = f"import sys\n{program}\nprint('the end')\n".replace(
            '"your_access_token")', f'"your_access_token", root="{server.url}")'
        )
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True,
            timeout=PATIENCE_S, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "the end\n"), done.stderr
    assert "1234.5" in done.stderr or "Current mode: ltp" in done.stderr
    assert "Connection closed: 1000 - good night" in done.stderr
    assert "your_access_token" not in done.stderr
    assert "Traceback" not in done.stderr


@contextmanager
def example(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, str(EXAMPLE), *arguments], text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:  # fmt: skip
        watchdog = threading.Timer(PATIENCE_S, process.kill)
        watchdog.start()
        try:
            yield process
        finally:
            watchdog.cancel()
            process.kill()


def test_our_example_prints_prices_until_ctrl_c(exchange: Simulator) -> None:
    with example(f"ws://127.0.0.1:{exchange.port}", "demo", "demo") as process:
        assert process.stdout is not None
        for line in process.stdout:
            assert re.fullmatch(r"(408065|738561) (quote|full) \d+\.\d+\n", line)
            if line.startswith("408065 full "):
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
        assert process.returncode == 0, errors
        assert "Traceback" not in errors
