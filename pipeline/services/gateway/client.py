"""One client: its channel, its session, its outbox, and what its socket does with them. Floor 4."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.core.clock import monotonic_ns
from pipeline.services.gateway.channel import Channel
from pipeline.services.gateway.outbox import Outbox
from pipeline.services.gateway.session import Session


@dataclass(slots=True)
class Talk:
    """What all clients said and were answered."""

    messages_in: int = 0
    messages_out: int = 0
    bytes_out: int = 0


class Client:
    """What a channel's bytes reach; made when a connection is admitted.

    attend: told when the session has something to do at a time. watch: told when bytes are on
    their way. more: told when the session has more to do, after others have had their turn.
    """

    __slots__ = (
        "address", "attend", "channel", "longest_answer", "more", "outbox", "pinged_mono_ns",
        "progress_mono_ns", "session", "taken", "talk", "watch",
    )  # fmt: skip

    def __init__(
        self, channel: Channel, address: str, talk: Talk, *,
        attend: Callable[[Client], object], watch: Callable[[Client], object],
        more: Callable[[Client], object],
    ) -> None:  # fmt: skip
        self.channel = channel
        self.address = address
        self.talk = talk
        self.attend = attend
        self.watch = watch
        self.more = more
        self.outbox: Outbox
        self.session: Session
        self.longest_answer = 0  # bytes: one answer is never too much to wait for
        self.taken = 0
        self.progress_mono_ns = 0
        self.pinged_mono_ns = 0

    @property
    def payload_bytes_max(self) -> int:
        """How long the next message may be."""
        return self.session.payload_bytes_max

    def opened(self) -> None:
        """Begin: the handshake is over."""
        self.attend(self)

    def receive(self, payload: bytes) -> None:
        """Take a message."""
        self.talk.messages_in += 1
        self.session.receive(payload, monotonic_ns())
        self.look_again()

    def say(self, payload: bytes) -> None:
        """Send an answer."""
        self.talk.messages_out += 1
        self.talk.bytes_out += len(payload)
        self.longest_answer = max(self.longest_answer, len(payload))
        self.channel.say(payload)

    def look_again(self) -> None:
        """After the session did something: read on or not, and come back when it says."""
        if self.session.pause_until_ns:
            self.channel.pause_reading()
        if self.session.next_ns:
            self.attend(self)
        if self.session.has_more:
            self.more(self)

    def writable(self, *, flows: bool) -> None:
        """Learn whether the socket takes more."""
        if flows:
            self.outbox.resume()
        else:
            self.outbox.pause()

    def wrote(self) -> None:
        """Learn that bytes are on their way."""
        self.watch(self)

    def bothered(self) -> None:
        """Count a frame that says nothing as a message; too many are read more slowly."""
        self.session.bothered(monotonic_ns())
        self.look_again()

    def closing(self) -> None:
        """Learn that nothing more is sent."""
        self.outbox.close()

    def is_stalled(self, now_ns: int, limit_ns: int) -> bool | None:
        """Return whether nothing was taken for too long; None when nothing is on its way."""
        outstanding = self.channel.outstanding()
        taken = self.channel.written - outstanding
        if not outstanding or taken != self.taken:
            self.taken, self.progress_mono_ns = taken, now_ns
            return False if outstanding else None
        return now_ns - self.progress_mono_ns >= limit_ns
