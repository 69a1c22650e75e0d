"""One WebSocket client under measurement, told over its input when to read.

    python -m benchmarks.peers.websocket_reader KIND URL [AUTHORITY_FILE]

Each line on its input is a number of seconds to read for; it answers with frames, CPU and wall
time as a line of JSON. An empty line ends it.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.websocket_clients import (
    Client,
    PicowsClient,
    PipelineClient,
    WebSocketClientClient,
    WebsocketsClient,
)  # fmt: skip

KINDS: Final[dict[str, type]] = {
    "pipeline": PipelineClient, "picows": PicowsClient,
    "websocket-client": WebSocketClientClient, "websockets": WebsocketsClient,
}  # fmt: skip
_CHUNK_S: Final = 0.02


def read_for(client: Client, seconds: float) -> dict[str, float]:
    """Read for about so long, in chunks of frames that take a fiftieth of a second."""
    frames = chunk = 32
    client.read(chunk)  # what has piled up while nobody read is not like the rest
    frames = 0
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    now_s = began_s
    while now_s - began_s < seconds:
        client.read(chunk)
        frames += chunk
        before_s, now_s = now_s, time.perf_counter()
        if now_s - before_s < _CHUNK_S:
            chunk *= 2
    return {
        "frames": frames,
        "cpu_s": time.process_time() - began_cpu_s,
        "seconds": now_s - began_s,
    }


def main() -> None:
    """Connect, then read as told."""
    kind, url = sys.argv[1:3]
    ca_file = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    with tempfile.TemporaryDirectory() as name:
        client: Client = KINDS[kind](url, ca_file, Path(name))
        read_for(client, 0.05)
        print("ready", flush=True)
        for line in sys.stdin:
            if not line.strip():
                break
            print(json.dumps(read_for(client, float(line))), flush=True)
        client.close()


if __name__ == "__main__":
    main()
