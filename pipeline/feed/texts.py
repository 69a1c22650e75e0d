"""Text messages on their way into the order ring and the text ring. Floor 3.

What a text is, the broker's session says; here it is counted, copied and, if it is an error of
the server, told. Texts are rare; a flood of bad ones costs counters and a log line a second.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from ext.rings import FrameRingWriter
from pipeline.brokers.contract import MessageClass, Session, TextKind
from pipeline.core.secrets import redact
from pipeline.feed.segments import FeedSegments

_SHOWN_CHARACTERS_MAX: Final = 200


class TextRouter:
    """Sorts the texts of one connection epoch."""

    def __init__(
        self,
        session: Session,
        segments: FeedSegments,
        log: logging.LoggerAdapter[logging.Logger],
        *,
        connection_epoch: int,
    ) -> None:
        self._session = session
        self._segments = segments
        self._record: Any = segments.page.record
        self._log = log
        self._epoch = connection_epoch

    def take(self, payload: bytes, receive_ts_ns: int, receive_mono_ns: int) -> None:
        """Sort one whole text; whatever it holds, nothing is raised."""
        kind = self._session.classify(is_text=True, payload=payload)
        stamps = (receive_ts_ns, receive_mono_ns)
        if kind is MessageClass.OWN:
            self._record["messages_own"] += 1
        elif self._remark(payload) is TextKind.ORDER:
            self._append(self._segments.orders, "orders_out", payload, stamps)
        else:
            # Also what only begins like an order: readers of orders parse what they are given.
            self._append(self._segments.text, "text_out", payload, stamps)

    def _append(
        self, ring: FrameRingWriter, counter: str, payload: bytes, stamps: tuple[int, int]
    ) -> None:
        taken = ring.append(
            payload,
            connection_epoch=self._epoch,
            receive_ts_ns=stamps[0],
            receive_mono_ns=stamps[1],
        )
        self._record[counter if taken else "messages_dropped"] += 1
        self._segments.instance_bell.ring()

    def _remark(self, payload: bytes) -> TextKind:
        message = self._session.parse_text(payload)
        if message.kind in (TextKind.INVALID, TextKind.UNKNOWN):
            self._record["text_invalid"] += 1
            problem = message.problem or redact(repr(message.type_name))
            self._log.warning("a text that is not understood: %s", problem)
        elif message.kind is TextKind.ERROR:
            self._record["server_errors"] += 1
            said = redact(repr(message.data))[:_SHOWN_CHARACTERS_MAX]
            self._log.warning("the server says: %s", said)
        return message.kind
