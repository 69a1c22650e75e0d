"""The page over a whole instance: its own session, its own gateway, which is killed."""

from __future__ import annotations

import http.client
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pipeline.core.control import Act
from pipeline.services.status import snapshot
from pipeline.strategy.control_client import ControlClient
from tests.screen import figures
from tests.screen.browser import Browser
from tests.screen.test_page import FIGURES, LTP, PRICES, ROWS, until_prices_move
from tests.system.gateway_rig import GatewayRun, gateway_config
from tests.system.rig import Run, wait_for

pytestmark = [pytest.mark.full, pytest.mark.timeout(240)]
SUBSCRIBED = '[[subscription]]\nsimulated = { first = 0, count = 60 }\nmode = "full"\n'


@pytest.fixture
def run(tmp_path: Path, shm_root: Path) -> Iterator[Run]:
    """A pool of one account that streams 60 instruments, with HTTP and a gateway."""
    more = f"[api]\nport = 0\n{SUBSCRIBED}{gateway_config(tmp_path)}"
    made = Run(tmp_path, shm_root, pool="", more=more)
    try:
        GatewayRun(made.start())
        yield made
    finally:
        made.close()


def address(run: Run, account: str | None = None) -> str:
    """Return an address that lets a browser in, once; to an account's prices."""

    def printed() -> Any:
        with ControlClient(run.paths.control_socket, client="test") as client:
            client.hello()
            return client.request(Act(action="enter", account=account))

    return str(printed()["url"])


def is_served(url: str) -> bool:
    """Whether the server lets anybody in: it starts after the pool."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=30)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except ConnectionError:
        return False
    finally:
        connection.close()


def gateway_pid(run: Run) -> int:
    """Return the living gateway's pid, 0 while there is none."""
    rows = snapshot(run.paths).processes
    return next((p.pid for p in rows if p.role == "gateway" and p.alive), 0)


def test_the_page_shows_a_whole_instance_and_its_gateways_death(browser: Browser, run: Run) -> None:
    wait_for(run.paths.control_socket.exists, "the control process to listen")
    url = address(run)
    wait_for(lambda: is_served(url), "the page to be served")
    browser.open(url)
    browser.until(f"{FIGURES}.includes('live since')")
    browser.until(f"{PRICES}.includes('live since')")
    until_prices_move(browser)
    until_prices_move(browser, ROWS)
    browser.until("document.querySelector('#detail .depth .price').innerText !== '–'")
    browser.until("document.querySelector('#tab-all').innerText === 'All (60)'")
    browser.until("document.querySelector('.candles canvas') !== null")
    asked = "fetch('screen/state').then((answer) => answer.json())"
    busy = "found.gateway.clients === 1 && found.gateway.messages > 0"  # told 4 times a second
    browser.until(f"{asked}.then((found) => {busy})")
    assert browser.run(asked)["gateway"].keys() == figures.document(3, 60, 0.0)["gateway"].keys()
    assert browser.complaints == []
    pid = gateway_pid(run)
    os.kill(pid, signal.SIGKILL)
    browser.until("document.querySelector('#processes').innerText.includes('process killed')")
    wait_for(lambda: gateway_pid(run) not in (0, pid), "a successor")
    browser.until(f"{PRICES}.includes('live since')")
    until_prices_move(browser, LTP)
    assert run.stop() == 0
    browser.until(f"/disconnected since \\d\\d:\\d\\d:\\d\\d/.test({FIGURES})")
    browser.until(f"/disconnected since \\d\\d:\\d\\d:\\d\\d/.test({PRICES})")
    browser.do("forgive")


def test_another_address_is_taken_in_the_same_tab(browser: Browser, run: Run) -> None:
    wait_for(run.paths.control_socket.exists, "the control process to listen")
    url = address(run)
    wait_for(lambda: is_served(url), "the page to be served")
    browser.open(url)
    browser.until(f"{FIGURES}.includes('live since')")
    account = "fetch('/auth/session').then((r) => r.json()).then((s) => s.account)"
    assert browser.run(account) is None
    fragment = address(run, "exchange").partition("#")[2]
    browser.run(f"void (location.hash = '{fragment}')")
    browser.until("location.hash === ''")
    browser.until(f"{account}.then((name) => name === 'exchange')")
    browser.until(f"{FIGURES}.includes('live since')")
    assert browser.complaints == []
    assert run.stop() == 0
