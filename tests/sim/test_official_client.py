"""The official client, unmodified, in a process of its own against the simulated exchange."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from tests.sim.harness import PATIENCE_S, simulator

PROGRAM = """
import json, sys
from kiteconnect import KiteTicker

url, ticks, orders, closes = sys.argv[1], [], [], []
kws = KiteTicker("demo", "demo", root=url)
kws.MAXIMUM = 1500

def on_connect(ws, response):
    tokens = [408065, 884737, 738561, 256265, 265]
    ws.subscribe(tokens)
    ws.set_mode("full", tokens[:4])
    ws.set_mode("ltp", tokens[4:])

def on_ticks(ws, found):
    for tick in found:
        ticks.append([tick["instrument_token"], tick["mode"], tick["last_price"],
                      tick.get("volume_traded", 0), len(tick.get("depth", {}).get("buy", []))])
    if len(ticks) > 300 and orders:
        ws.close()

def on_close(ws, code, reason):
    closes.append(code)
    ws.stop()

kws.on_connect, kws.on_ticks, kws.on_close = on_connect, on_ticks, on_close
kws.on_order_update = lambda ws, order: orders.append(order)
kws.connect()
json.dump({"ticks": ticks, "orders": orders, "closes": closes}, sys.stdout)
"""


def test_kiteticker_receives_ticks_and_orders_unmodified(tmp_path: Path) -> None:
    options = ("--instruments", "200", "--interval", "0.02", "--rate", "max")
    with simulator(tmp_path, *options) as running:
        url = f"ws://127.0.0.1:{running.port}"
        command = [sys.executable, "-W", "ignore", "-c", PROGRAM, url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            running.wait(lambda stat: any(c["frames"] > 20 for c in stat["clients"]))
            running.command("order", data={"tag": "mine"})
            out, _ = process.communicate(timeout=PATIENCE_S)
    found = json.loads(out)
    ticks = found["ticks"]
    wanted = {**dict.fromkeys((408065, 884737, 738561, 256265), "full"), 265: "ltp"}
    early = [number for number, (token, mode, *_) in enumerate(ticks) if mode != wanted[token]]
    settled = ticks[max(early, default=-1) + 1 :]
    assert len(settled) > 100, "modes that were not asked for, long after others were"
    assert {(token, mode) for token, mode, *_ in settled} == set(wanted.items())
    infy = [tick for tick in ticks if tick[0] == 408065 and tick[1] == "full"]
    states = [tick[3] for tick in infy]
    steps = [after - before for before, after in pairwise(states)]
    assert len(states) > 20 and min(steps) > 0
    left_out = [step for step in steps if step > 1]
    assert len(left_out) <= 1, f"but behind the one order no state has to wait: {left_out}"
    assert all(1400 < tick[2] < 1700 and tick[4] == 5 for tick in infy)
    assert found["orders"][0]["tag"] == "mine"
    assert found["closes"] == [1000] or found["closes"] == [None]
