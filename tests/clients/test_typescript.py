"""`clients/typescript`: its own tests under Node, and what its files may hold."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.sim.control import ControlClient
from tests.clients.node import installed, node, run, websocket_switch
from tests.clients.session import Session
from tests.clients.witness import Witness, as_json, assert_silent, assert_slice, witness
from tests.conftest import ROOT, wait_until
from tests.system.gateway_rig import GatewayRun, gateway_config
from tests.system.judge import control_of
from tests.system.rig import Run

CLIENT = ROOT / "clients" / "typescript"
HOOK_LINES_MAX = 100


def copied(folder: Path) -> Path:
    """Return a folder with the sources, and with the packages that they need to be compiled."""
    manifest = json.loads((CLIENT / "package.json").read_text())
    packages = installed("client", manifest, CLIENT / "package-lock.json")
    for name in ("src", "test"):
        shutil.copytree(CLIENT / name, folder / name)
    for name in ("package.json", "tsconfig.json", "tsconfig.build.json"):
        shutil.copy(CLIENT / name, folder)
    (folder / "node_modules").symlink_to(packages / "node_modules")
    return folder


@pytest.mark.full
@pytest.mark.timeout(600)
def test_npm_test_passes(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    said = run(["npm", "test"], folder)
    assert re.search(r"^(# |ℹ )fail 0$", said, re.MULTILINE), said
    passed = re.search(r"^(?:# |ℹ )pass (\d+)$", said, re.MULTILINE)
    assert passed is not None and int(passed[1]) >= 20


def test_the_hook_is_short() -> None:
    assert len((CLIENT / "src" / "react.ts").read_text().splitlines()) <= HOOK_LINES_MAX


def test_nothing_is_needed_at_run_time() -> None:
    manifest = json.loads((CLIENT / "package.json").read_text())
    assert "dependencies" not in manifest
    assert set(manifest["peerDependencies"]) == {"react"}
    assert manifest["peerDependenciesMeta"]["react"]["optional"] is True


def test_the_lock_file_names_no_registry() -> None:
    lock = json.loads((CLIENT / "package-lock.json").read_text())
    packages = lock["packages"]
    assert len(packages) > 5
    assert not [name for name, package in packages.items() if "resolved" in package]
    assert "://" not in (CLIENT / "package-lock.json").read_text()
    assert all("integrity" in package for name, package in packages.items() if name)


# ---- against the gateway ----------------------------------------------------------------------


PROGRAM = Path(__file__).with_name("typescript_session.mjs")
INFY = {"exchange": "NSE", "symbol": "INFY"}
MODES = ("ltp", "quote", "depth")


def client_session(folder: Path, url: str, key: str) -> Session:
    """Return a session with the client, compiled in `folder`."""
    module = (folder / "dist" / "index.js").as_uri()
    line = [node(), "--no-warnings", *websocket_switch(node()), str(PROGRAM)]
    return Session(line, url, key, CLIENT_MODULE=module)


@pytest.mark.full
@pytest.mark.timeout(600)
def test_it_gets_every_tick_and_tells_of_a_gateway_that_was_away(
    make_run: Callable[..., Run], tmp_path: Path
) -> None:
    folder = tmp_path / "client"
    folder.mkdir()
    run(["npm", "run", "build"], copied(folder))
    instance = make_run(
        connections=1, count=30, pool="", simulator="rate = 60.0\ninterval_s = 0.1",
        more=gateway_config(tmp_path),
    )  # fmt: skip
    gateway = GatewayRun(instance.start())
    with (
        client_session(folder, gateway.url, gateway.key()) as session,
        witness(instance) as truth,
        control_of(instance) as exchange,
    ):
        session.say("connect")
        for mode in MODES:
            session.say("subscribe", [INFY], mode)
        for mode in MODES:
            session.wait_for(mode, 20)
        session.say("unsubscribe")
        assert_silent(session)
        check_values(session, truth)
        session.say("orders")
        session.say("subscribe", [INFY], "ltp")
        session.wait_for("ltp", 3)
        check_order(session, exchange, "1")
        gateway.run.kill("gateway")
        session.wait_for("gap", 1)
        [gap] = session.messages["gap"]
        assert 0 < gap["toMs"] - gap["fromMs"] < 60_000
        session.wait_for("ltp", 5)
        assert session.messages["status"].count("live") == 2
        check_order(session, exchange, "2")  # wanted again, and before the gap was over
        session.say("unsubscribe")
        assert_silent(session)
        exchange.command("order", data={"order_id": "3"})
        assert_silent(session)
        assert session.messages["problem"] == []
    with client_session(folder, gateway.url, "no.key") as session:
        session.say("connect")
        wait_until(lambda: "refused" in session.messages["status"], timeout_s=60.0, what="a no")
    assert instance.stop() == 0
    instance.assert_nothing_left()


def check_order(session: Session, exchange: ControlClient, number: str) -> None:
    """Fail unless a client is told what the exchange says of an order, once."""
    changes = {"order_id": number, "status": "REJECTED", "status_message": "no", "quantity": 5}
    exchange.command("order", data={**changes, "order_type": "LIMIT", "price": 1500.05})
    wait_until(lambda: session.messages["order"], timeout_s=60.0, what="the order update")
    [order] = session.messages["order"]
    session.messages["order"].clear()
    assert order == {
        "type": "order_update", "user_id": "alice", "mode": "live", "broker": "zerodha",
        "orderid": number, "symbol": "INFY", "exchange": "NSE", "action": "BUY", "quantity": 5,
        "price": 1500.05, "trigger_price": 0, "pricetype": "LIMIT", "product": "CNC",
        "order_status": "rejected", "filled_quantity": 1, "pending_quantity": 0,
        "average_price": order["average_price"], "rejection_reason": "no",
    }  # fmt: skip


def check_values(session: Session, truth: Witness) -> None:
    for number, mode in enumerate(MODES, 1):
        found = session.messages[mode]
        wait_until(
            lambda found=found, number=number: found[-1] in rows(truth, number),
            timeout_s=30.0, what="the witness to have read as far",
        )  # fmt: skip
        assert_slice(found, rows(truth, number), mode)


def rows(truth: Witness, mode: int) -> list[Any]:
    """Return what each tick of INFY comes to in a mode, as JavaScript writes it."""
    found: list[Any] = as_json(truth.data(408065, mode, "INFY", "NSE"))
    return found
