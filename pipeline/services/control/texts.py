"""What the broker says in words, where it refuses something. Floor 4; read-only.

Kite sends `{"type": "error", "data": "Can't subscribe to more than 3000 instruments."}`
(Kite Connect v3 documentation, WebSocket streaming, errors and exceptions), and goes on.
"""

from __future__ import annotations

from typing import Final

from ext.rings import FrameRingReader
from pipeline.brokers.contract import Session, TextKind
from pipeline.core.enums import SegmentKind
from pipeline.core.secrets import redact
from pipeline.shm.names import InstancePaths
from pipeline.shm.segment import Segment

#: Texts that are looked at in one look: they are rare, and a flood of them may not hold us up.
TEXTS_MAX: Final = 64
SHOWN_CHARACTERS_MAX: Final = 200


class ErrorTexts:
    """The texts of one connection, from the present one on."""

    def __init__(self, paths: InstancePaths, number: int, session: Session) -> None:
        segment = Segment.attach(paths.segment(SegmentKind.TEXT, number), SegmentKind.TEXT)
        tail = FrameRingReader(segment.mapping).tail
        self._reader = FrameRingReader(segment.mapping, tail)
        self._session = session

    def newest(self) -> str | None:
        """Return what the newest error since the last call says, None without one."""
        found = None
        for _ in range(TEXTS_MAX):
            message = self._reader.poll()
            if message is None:
                break
            text = self._session.parse_text(message["payload"])
            if text.kind is TextKind.ERROR:
                found = _in_a_line(redact(str(text.data))[:SHOWN_CHARACTERS_MAX])
        return found


def _in_a_line(text: str) -> str:
    """Return a text as a log, a table and a terminal may have it: no line ends, no escapes."""
    return "".join(character if character.isprintable() else " " for character in text)
