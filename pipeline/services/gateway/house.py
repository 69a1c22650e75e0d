"""Everybody who is connected, from the handshake to the end, and who is put out. Floor 4.

Looks after the clients some twenty times a second: deadlines of sessions, sockets that take
nothing, answers that nobody fetches, clients that do not answer a ping. Who is cut costs the others
nothing.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from picows import WSUpgradeRequest

from pipeline.core.clock import NS_PER_S, monotonic_ns
from pipeline.core.config import GatewayConfig
from pipeline.services.gateway.channel import CLOSE_AWAY, CLOSE_LATER, Channel
from pipeline.services.gateway.client import Client, Talk
from pipeline.services.gateway.desk import Desk
from pipeline.services.gateway.guard import Guard, Refusal
from pipeline.services.gateway.headers import page_origins, refuse_headers
from pipeline.services.gateway.limits import Limits
from pipeline.services.gateway.outbox import Outbox, Sums
from pipeline.services.gateway.server import Refused, Server
from pipeline.services.gateway.session import Session
from pipeline.services.gateway.tally import Cuts

_LOOK_AT_SOCKETS_NS: Final = NS_PER_S // 5
_LOOK_AT_SILENCE_NS: Final = NS_PER_S
#: Nobody looked for so long: this process had no core, or was stopped.
_AWAY_NS: Final = NS_PER_S // 2
#: Connections whose handshake is under way, beside all that may be.
_HANDSHAKES_MAX: Final = 512
_FORBIDDEN: Final = 403

_log = logging.getLogger(__name__)


def limits_of(config: GatewayConfig) -> Limits:
    """Return the limits of sessions and of the guard as the config has them."""
    return Limits(
        authenticate_within_s=config.authenticate_within_s,
        early_payload_bytes=config.early_message_bytes,
        early_messages=config.early_messages_max,
        payload_bytes=config.message_bytes,
        instruments=config.instruments_max,
        control_messages_per_s=config.messages_per_s,
        control_messages_burst=config.messages_burst,
        errors_per_minute=config.errors_per_minute,
        connections=config.connections_max,
        connections_per_address=config.connections_per_address,
        unauthenticated=config.unauthenticated_max,
        unauthenticated_per_address=config.unauthenticated_per_address,
        wrong_keys_until_delay=config.key_failures_delay,
        wrong_keys_until_ban=config.key_failures_ban,
        ban_s=config.ban_s,
    )


class House:
    """The clients of a gateway; `server` lets them in by it.

    pages: origins of this instance's own pages, besides those that the config names.
    """

    def __init__(
        self, config: GatewayConfig, desk: Desk, sums: Sums, dirty: list[Outbox], *,
        pages: frozenset[str] = frozenset(),
    ) -> None:  # fmt: skip
        self.cuts = Cuts()
        self.talk = Talk()
        self.connects = 0
        self.disconnects = 0
        self._config = config
        self._desk = desk
        self._sums = sums
        self._dirty = dirty
        self._limits = limits_of(config)
        self._guard = Guard(self._limits, config.trusted_proxies)
        self.server = Server(
            arrive=self._guard.arrive, arrived=self._guard.arrived, admit=self._admit,
            left=self._left, sockets_max=config.connections_max + _HANDSHAKES_MAX,
            message_bytes=config.message_bytes, buffer_bytes=config.buffer_bytes,
        )  # fmt: skip
        self._origins = pages | frozenset(config.origins)
        self._clients: dict[Channel, Client] = {}
        self._attended: dict[Client, None] = {}
        self._watched: dict[Client, None] = {}
        self._busy: dict[Client, None] = {}
        self._next_sockets_ns = self._next_silence_ns = 0
        self._looked_ns = monotonic_ns()

    @property
    def bans(self) -> int:
        """How often an address was banned."""
        return self._guard.counters.bans

    def look(self, now_ns: int) -> None:
        """Do what time asks for."""
        if now_ns - self._looked_ns > _AWAY_NS:
            self._grant(now_ns)
        self._looked_ns = now_ns
        for client in list(self._attended):
            self._attend(client, now_ns)
        if now_ns >= self._next_sockets_ns:
            self._next_sockets_ns = now_ns + _LOOK_AT_SOCKETS_NS
            self._look_at_sockets(now_ns)
        if now_ns >= self._next_silence_ns:
            self._next_silence_ns = now_ns + _LOOK_AT_SILENCE_NS
            self._look_at_silence(now_ns)

    def _grant(self, now_ns: int) -> None:
        """Begin everybody's time anew: it was us who were away, and heard nothing."""
        for channel, client in self._clients.items():
            client.progress_mono_ns = channel.seen_mono_ns = now_ns

    def release(self) -> None:
        """Send what a throttle held back."""
        for client in self._clients.values():
            client.outbox.release()

    def close(self) -> None:
        """Let nobody in any more, and tell those who are here."""
        self.server.close()
        for channel in self._clients:
            channel.close(CLOSE_AWAY, "the gateway is ending")

    def abort(self) -> None:
        """End whatever socket is left."""
        for channel in list(self._clients):
            channel.abort()

    def end(self) -> None:
        """Give up at once what those have who are gone: there is nobody left to wait for it."""
        while self._busy:
            self._do_a_part()

    # ---- coming and going ---------------------------------------------------------------------

    def _admit(self, peer: str, request: WSUpgradeRequest, channel: Channel) -> Refused | None:
        headers = request.headers
        refused = refuse_headers(
            origin=headers.get("Origin"), host=headers.get("Host"),
            origins=self._origins, names=self._config.hosts,
        )  # fmt: skip
        if refused is not None:
            return Refused(_FORBIDDEN, refused.text, 0, refused.which)
        # Some proxies add a header of their own instead of another entry, below the client's.
        forwarded = ",".join(headers.getall("X-Forwarded-For", [])) or None
        address = self._guard.client_address(peer, forwarded)
        now_ns = monotonic_ns()
        visit = self._guard.admit(address, now_ns)
        if isinstance(visit, Refusal):
            return Refused(*visit)
        client = Client(
            channel, address, self.talk,
            attend=self._on_attend, watch=self._on_watch, more=self._on_more,
        )  # fmt: skip
        client.outbox = Outbox(
            channel.write, self._sums, self._dirty, throttled=self._config.throttle_ms > 0
        )
        client.session = Session(
            self._desk, visit, say=client.say, close=channel.close, limits=self._limits,
            now_ns=now_ns,
        )  # fmt: skip
        channel.seen_mono_ns = client.progress_mono_ns = now_ns
        channel.receiver = client
        self._clients[channel] = client
        self._desk.clients[client.session] = client
        self.connects += 1
        return None

    def _left(self, channel: Channel) -> None:
        client = self._clients.pop(channel)
        client.outbox.close()
        client.session.ended()
        self._attended.pop(client, None)
        self._watched.pop(client, None)
        if client.session.has_more:
            self._on_more(client)
        else:
            self._forget(client)
        self.cuts.protocol += channel.failed
        if client.session.cut_as is not None:
            self.cuts.count(client.session.cut_as)

    def _forget(self, client: Client) -> None:
        """Count one out who has nothing any more."""
        del self._desk.clients[client.session]
        self._busy.pop(client, None)
        self.disconnects += 1

    def _on_attend(self, client: Client) -> None:
        self._attended[client] = None

    def _on_watch(self, client: Client) -> None:
        self._watched[client] = None

    def _on_more(self, client: Client) -> None:
        if not self._busy:
            asyncio.get_running_loop().call_soon(self._do_a_part)
        self._busy[client] = None

    def _do_a_part(self) -> None:
        """Do a part of what one client wants; all else that has come is done before the next."""
        client = next(iter(self._busy), None)
        if client is None:
            return
        del self._busy[client]
        if self._busy:
            asyncio.get_running_loop().call_soon(self._do_a_part)
        session, done = client.session, False
        try:
            session.proceed(monotonic_ns())
            done = True
        finally:
            if not done:
                client.channel.abort()  # as picows ends whom something goes wrong for
        if client.channel in self._clients:
            client.look_again()
        elif session.has_more:
            self._on_more(client)
        else:
            self._forget(client)

    # ---- looking after ------------------------------------------------------------------------

    def _attend(self, client: Client, now_ns: int) -> None:
        session = client.session
        if session.next_ns and now_ns >= session.next_ns:
            paused = session.pause_until_ns
            session.tick(now_ns)
            if paused and not session.pause_until_ns:
                client.channel.resume_reading()
            if session.has_more:
                self._on_more(client)
        if not session.next_ns:
            del self._attended[client]

    def _look_at_sockets(self, now_ns: int) -> None:
        config = self._config
        limit_ns = int(config.stalled_after_s * NS_PER_S)
        backlog = config.buffer_bytes + config.backlog_bytes
        for client in list(self._watched):
            stalled = client.is_stalled(now_ns, limit_ns)
            if stalled is None:
                del self._watched[client]
            elif stalled or client.channel.buffered > backlog + client.longest_answer:
                self._cut(client, stalled=stalled)

    def _cut(self, client: Client, *, stalled: bool) -> None:
        self.cuts.count("stalled" if stalled else "backlog")
        _log.info(
            f"client {client.session!r} of {client.address} is cut: "
            + ("it took nothing for too long" if stalled else "it fetched no answers")
        )
        client.channel.close(CLOSE_LATER, "too slow")  # it may see this, if it reads after all
        client.outbox.close()
        client.channel.abort()

    def _look_at_silence(self, now_ns: int) -> None:
        ping_ns = int(self._config.ping_after_s * NS_PER_S)
        cut_ns = int(self._config.silent_after_s * NS_PER_S)
        for channel, client in list(self._clients.items()):
            seen_ns = channel.seen_mono_ns
            if now_ns - seen_ns < ping_ns or channel.closing or client.session.pause_until_ns:
                continue  # who is not read cannot be heard
            if client.pinged_mono_ns <= seen_ns:
                client.pinged_mono_ns = now_ns
                channel.ping()
            elif now_ns - max(client.pinged_mono_ns, client.progress_mono_ns) >= cut_ns:
                self.cuts.count("silent")
                channel.close(CLOSE_AWAY, "no answer to a ping")


def own_pages(host: str, ports: list[int]) -> frozenset[str]:
    """Return the origins of pages that this host serves at these ports."""
    return frozenset().union(*(page_origins(host, port) for port in ports))
