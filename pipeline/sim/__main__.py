"""`python -m pipeline.sim`: the exchange alone, with the options that a test needs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipeline.core.errors import PipelineError
from pipeline.sim.options import SimulatorOptions
from pipeline.sim.server import run_simulator


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m pipeline.sim")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--instruments", type=int, default=9000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mode", default="realtime")
    parser.add_argument("--interval", type=float, default=1.0, dest="interval_s")
    parser.add_argument("--rate", type=float)
    parser.add_argument("--packets-per-frame", type=int, default=100)
    for name in ("--truth", "--faults", "--control", "--tls-cert", "--tls-key"):
        parser.add_argument(name, type=Path)
    options = SimulatorOptions(**vars(parser.parse_args()))

    def announce(port: int) -> None:
        scheme = "wss" if options.tls_cert else "ws"
        print(f"listening on {scheme}://{options.host}:{port}", flush=True)

    try:
        return run_simulator(options, announce=announce)
    except PipelineError as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)


if __name__ == "__main__":
    sys.exit(main())
