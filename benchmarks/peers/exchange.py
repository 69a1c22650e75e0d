"""A simulated exchange that a benchmark starts itself: over TLS, or with more API keys.

    python -m benchmarks.peers.exchange OPTIONS

OPTIONS is a JSON object: fields of SimulatorOptions, paths as text, and `keys`, a list of API keys
(their tokens are the same; all are made up). Prints its port once clients are welcome.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

from pipeline.sim.options import LOAD, SimulatorOptions
from pipeline.sim.server import run_simulator

_PATHS: Final = ("tls_cert", "tls_key", "instance_directory")


def main() -> None:
    """Serve until SIGTERM."""
    found = json.loads(sys.argv[1])
    found |= {name: Path(found[name]) for name in _PATHS if found.get(name)}
    found["keys"] = {key: key for key in found["keys"]}
    options = SimulatorOptions(mode=LOAD, **found)
    sys.exit(run_simulator(options, announce=lambda port: print(port, flush=True)))


if __name__ == "__main__":
    main()
