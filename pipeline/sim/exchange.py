"""The exchange itself: instruments, clients, what is sent to whom and when. Floor 4.

Real-time mode conflates: each interval some instruments move, and each client gets one frame of
what has moved since its last. Load mode sends every move: frames of packets in turn, at a rate or
as fast as the sockets take them. No sockets are made here; time comes in as an argument.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from ext.simulate import TruthLog
from pipeline.sim import texts
from pipeline.sim.admission import Admission, Refusal
from pipeline.sim.client import Client, output_maker
from pipeline.sim.conditions import FOREVER
from pipeline.sim.gate import Gate
from pipeline.sim.market import Listing
from pipeline.sim.options import LOAD, SimulatorOptions
from pipeline.sim.rest import Desk
from pipeline.sim.transport import PlainTransport

MODE_QUOTE: Final = 2
#: A turn's frames stay in a core's own cache until the socket has taken them.
_TURN_PACKETS: Final = 2048
_BURST_S: Final = 0.1


class Exchange:
    """Everything that clients share; `step()` is its turn."""

    def __init__(
        self,
        options: SimulatorOptions,
        *,
        truth: TruthLog | None,
        gate: Gate | None,
        now_s: float,
    ) -> None:
        self.options = options
        self.admission = Admission(options.keys, options.connection_limit, options.limit_policy)
        self.listing = Listing(options.instruments, seed=options.seed, now_s=int(time.time()))
        self.desk = Desk(self.admission, self.listing, seed=options.seed, state=self.stat)
        self.clients: list[Client] = []
        self.sessions = 0
        self.orders = 0
        self.handshakes_refused = 0
        self.subscribed_again = 0  # instruments that the connection had already
        self.subscribed_elsewhere = 0  # that another connection of the key had
        self.slow_openings: list[float] = []
        self.instrument_limit = options.subscriptions_max
        self.takes_parts = True  # of a subscription that crosses the limit
        self._gate = gate
        self._truth = truth
        self._make_output = output_maker(self.listing.market, truth, options.subscriptions_max)
        self._random = np.random.default_rng([options.seed, 0x71C4])
        self._subscribers = np.zeros(options.instruments, np.uint32)
        self._now_s = now_s
        self._next_frame_s = now_s + options.interval_s
        self._load_since_s = now_s
        self._owed = 0.0
        self._turn = 0

    # ---- clients

    def accept(self, transport: PlainTransport, now_s: float) -> Client:
        """Take in an accepted socket."""
        client = Client(
            self.sessions,
            transport,
            self,
            self._make_output,
            now_s=now_s,
            seed=self.options.seed,
        )
        self.sessions += 1
        if self.slow_openings:
            client.conditions.dribble_until_s = FOREVER
            client.conditions.dribble_gap_s = self.slow_openings.pop(0)
        self.clients.append(client)
        return client

    def admit(self, client: Client, path: str) -> Refusal | None:
        """Decide about a client's opening request."""
        live = Counter(c.key for c in self.clients if c.is_open and not c.conditions.half_open)
        verdict = self.admission.decide(path, live=live, now_s=self._now_s)
        if isinstance(verdict, Refusal):
            self.handshakes_refused += 1
            return verdict
        client.key = verdict.key
        if self.admission.evicts(verdict.key, live[verdict.key]):
            oldest = next(c for c in self.clients if c.is_open and c.key == verdict.key)
            oldest.close(1008, "connection limit", self._now_s)
        return None

    def opened(self, client: Client) -> None:
        """Greet a client whose opening is done."""
        conditions = client.conditions
        if conditions.dribble_until_s == FOREVER:  # only the answer was to trickle
            trickle_s = conditions.dribble_gap_s * client.pending_bytes
            conditions.dribble_until_s = self._now_s + trickle_s
        client.queue_text(texts.instruments_meta(self.options.instruments))
        client.queue_text(texts.app_code(time.time()))
        if self._gate is not None:
            self._gate.opened(client)

    def forget(self, client: Client) -> None:
        """Take a gone client off the list."""
        self.clients.remove(client)
        if client.subscribed:
            np.subtract.at(self._subscribers, client.output.positions(), 1)

    def heard(self, client: Client, text: str) -> None:
        """Act on a client's message; what is not understood is ignored, as the real one does."""
        command = texts.parse_command(text)
        if command is None:
            return
        if command.action == "subscribe":
            self._subscribe(client, command.tokens)
        elif command.action == "unsubscribe":
            for position in self._positions(command.tokens):
                if client.output.unsubscribe(position):
                    self._subscribers[position] -= 1
        else:
            for position in self._positions(command.tokens):
                if client.output.mode(position):
                    client.output.subscribe(position, command.mode)
        self._send_cached(client)

    def _subscribe(self, client: Client, tokens: Iterable[object]) -> None:
        asked = self._positions(tokens)
        fresh = [p for p in dict.fromkeys(asked) if not client.output.mode(p)]
        self._count_duplicates(client, len(asked), fresh)
        room = max(self.instrument_limit - client.subscribed, 0)
        if len(fresh) > room:
            client.queue_text(texts.over_limit(self.instrument_limit))
            fresh = fresh[:room] if self.takes_parts else []
        for position in fresh:
            client.output.subscribe(position, MODE_QUOTE)
            self._subscribers[position] += 1

    def _count_duplicates(self, client: Client, asked: int, fresh: Sequence[int]) -> None:
        """Brokers count an instrument twice that is asked for twice, though it is sent once."""
        self.subscribed_again += asked - len(fresh)
        others = [c for c in self.clients if c is not client and c.is_open and c.key == client.key]
        outputs = [other.output for other in others if other.subscribed]
        if outputs:
            self.subscribed_elsewhere += sum(any(o.mode(p) for o in outputs) for p in fresh)

    def _positions(self, tokens: Iterable[object]) -> list[int]:
        found = (self.listing.position(token) for token in tokens)
        return [position for position in found if position is not None]

    def _send_cached(self, client: Client) -> None:
        if self.options.mode == LOAD or not client.conditions.data_allowed(self._now_s):
            return
        if client.output.fill_changed(only_new=True):
            client.last_data_s = self._now_s
        client.flush(self._now_s)

    def send_order(self, key: str | None, changes: Mapping[str, object]) -> int:
        """Send one order update to every connection of a key (None: of every key)."""
        self.orders += 1
        told = [c for c in self.clients if c.is_open and key in (None, c.key)]
        for client in told:
            client.queue_text(
                texts.order(self.orders, time.time(), user=client.key, changes=changes)
            )
        return len(told)

    def stat(self) -> dict[str, Any]:
        """Return counts as plain numbers; no key's token is among them.

        What they count is in the truth log's file by then, whatever becomes of this process.
        """
        if self._truth is not None:
            self._truth.flush()
        return {
            "now_mono_ns": time.monotonic_ns(),
            "sessions": self.sessions,
            "handshakes_refused": self.handshakes_refused,
            "subscribed_again": self.subscribed_again,
            "subscribed_elsewhere": self.subscribed_elsewhere,
            "orders": self.orders,
            "rest": self.desk.stat(),
            "clients": [
                {
                    "session": client.number,
                    "connection": client.connection,
                    "key": client.key,
                    "open": client.is_open,
                    "subscribed": client.subscribed,
                    "commands": client.commands,
                    "last_command_mono_ns": client.last_command_mono_ns,
                    "pending_bytes": client.pending_bytes,
                    "frames": client.output.frames_handed,
                    "packets": client.output.packets_handed,
                }
                for client in self.clients
            ],
        }

    # ---- market data

    def step(self, now_s: float) -> None:
        """Send what is due."""
        self._now_s = now_s
        if self.options.mode == LOAD:
            self._step_load(now_s)
        elif now_s >= self._next_frame_s:
            self._next_frame_s += self.options.interval_s
            if self._next_frame_s <= now_s:  # this process was away: no burst to catch up
                self._next_frame_s = now_s + self.options.interval_s
            self._step_real_time(now_s)
        for client in self.clients:
            client.beat(now_s, self.options.heartbeat_s)

    def _step_real_time(self, now_s: float) -> None:
        moving = self._moving()
        if len(moving):
            self.listing.market.advance(moving, now_s=int(time.time()))
        for client in self.clients:
            merging = now_s < client.conditions.merge_until_s
            behind = client.pending_bytes > 0 and not merging
            if client.is_open and client.conditions.data_allowed(now_s) and not behind:
                if client.output.fill_changed():
                    client.last_data_s = now_s
                client.flush(now_s)

    def _moving(self) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
        subscribed = np.flatnonzero(self._subscribers).astype(np.uint32)
        if self.options.rate is None:
            return subscribed
        earned = self.options.rate * self.options.interval_s
        self._owed = min(self._owed + earned, float(len(subscribed)))
        count = int(self._owed)
        self._owed -= count
        if count >= len(subscribed):
            return subscribed
        return np.sort(self._random.permutation(subscribed)[:count])

    def _step_load(self, now_s: float) -> None:
        ready = [c for c in self.clients if c.is_open and not c.blocked]
        ready = [c for c in ready if c.subscribed and c.conditions.data_allowed(now_s)]
        rate, frame = self.options.rate, self.options.packets_per_frame
        if rate is not None:
            limit = max(rate * _BURST_S, float(frame))
            self._owed = min(self._owed + rate * (now_s - self._load_since_s), limit)
        self._load_since_s = now_s
        if not ready:
            return
        self._turn += 1
        if self._gate is not None:
            self._gate.begin_turn()
        first = self._turn % len(ready)
        clock_s = int(time.time())
        for place, client in enumerate(ready[first:] + ready[:first]):
            budget = _TURN_PACKETS
            if rate is not None:  # what is owed, in whole frames, shared by those still to come
                frames = int(self._owed // frame)
                budget = -(-frames // (len(ready) - place)) * frame
            if self._gate is not None:
                budget = min(budget, self._gate.budget(client))
            if budget > 0:
                encoded = client.pump(
                    packets_per_frame=frame, budget=budget, now_s=now_s, clock_s=clock_s
                )
                self._owed = max(0.0, self._owed - encoded)

    def next_wake_s(self, now_s: float) -> float:
        """Return when `step()` is due next, if nothing arrives before."""
        beat_s = now_s + self.options.heartbeat_s / 4
        if self.options.mode != LOAD:
            return min(self._next_frame_s, beat_s)
        if not any(c.is_open and not c.blocked and c.subscribed for c in self.clients):
            return beat_s
        wait_s = 0.0 if self._gate is None else self._gate.wait_s()
        if self.options.rate == 0:
            return beat_s
        if self.options.rate is not None:
            frame = self.options.packets_per_frame
            due_s = (frame - self._owed) / self.options.rate
            wait_s = max(wait_s, due_s)
        return min(now_s + wait_s, beat_s)
