"""What Kite allows, and where each number comes from. Floor 2; data only."""

from __future__ import annotations

from typing import Final

from pipeline.brokers.contract import Limits

_DOCS: Final = "Kite Connect v3 documentation, WebSocket streaming"

LIMITS: Final = Limits(
    instruments_per_connection=3000,
    connections_per_key=3,
    handshake_spacing_s=1.0,
    tokens_per_command=500,
    command_spacing_s=0.0,
    heartbeat_s=2.0,
    frame_bytes_max=2 + 3000 * 186,
    packets_per_frame_max=65_535,
    text_parse_bytes_max=256 * 1024,
    text_depth_max=32,
    sources={
        "instruments_per_connection": f"{_DOCS}: up to 3000 instruments on a connection; "
        "what exceeds it is refused by a text of type error",
        "connections_per_key": f"{_DOCS}: up to 3 connections for one API key; "
        "a fourth may get 429 or be tolerated",
        "handshake_spacing_s": "our choice: no figure is published, and bursts get 429",
        "tokens_per_command": "our choice: no maximum is published; 500 tokens are about 5 kB",
        "command_spacing_s": "official clients send everything at once",
        "heartbeat_s": f"{_DOCS}: a 1-byte heartbeat every couple of seconds without data",
        "frame_bytes_max": "arithmetic: the count, then 3000 full packets with their lengths",
        "packets_per_frame_max": f"{_DOCS}, message structure: the count is 2 bytes",
        "text_parse_bytes_max": "our choice: the longest order update is under 4 kB",
        "text_depth_max": "our choice: order updates nest 3 deep",
    },
)
