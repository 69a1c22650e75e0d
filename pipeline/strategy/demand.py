"""Keeps what one client wants known to the control process, over that one's restarts. Floor 3.

A daemon thread holds the connection: when it ends it connects again and declares everything anew.
Reading ticks never waits for it. What is wanted lives as long as the connection plus a grace, so
an interpreter that ends, however, leaves nothing behind.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.core.control import (
    AnyRequest,
    Ask,
    Instrument,
    SetMode,
    Subscribe,
    Unsubscribe,
)
from pipeline.core.errors import (
    CapacityError,
    ControlError,
    ControlUnavailable,
    PipelineError,
    RequestRefused,
    UnknownInstruments,
)
from pipeline.strategy.control_client import TIMEOUT_S, ControlClient
from pipeline.strategy.wants import Placement, Wants

_PAUSE_S: Final = (0.02, 1.0)
_JOIN_S: Final = 2.0
#: So often a client asks what its windows stand for by now, if it has any.
_FOLLOW_S: Final = 1.0

_log = logging.getLogger("pipeline.strategy")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An instrument that was not accepted, as it was written, why in a word and in a sentence."""

    instrument: Instrument
    why: str
    text: str


@dataclass(frozen=True, slots=True)
class SubscribeResult:
    """What became of a request: of `requested` instruments `accepted`, of these `already` so.

    `refused` names the first 1,000 of the others; `available`: for how many more there was room.
    """

    requested: int
    accepted: int
    already: int = 0
    refused: tuple[Refusal, ...] = ()
    available: int = 0


class DemandKeeper:
    """What one client wants, said to the control process now and after each of its restarts.

    client: its name in the control process's lists; no other client may have it.
    timeout_s: how long a request waits for the control process, in all.
    check: called while a request waits for a control process that is away; raises when there is
      nothing to wait for any more.
    owner: on whose connections it is wanted; needed where there are several.

    May be used by any thread of the process that made it.
    """

    def __init__(
        self, path: Path, *, client: str, timeout_s: float = TIMEOUT_S,
        check: Callable[[], object] = lambda: None, owner: str | None = None,
    ) -> None:  # fmt: skip
        self.client = client
        self.timeout_s = timeout_s
        self._owner = owner
        self._path = path
        self._check = check
        self._pid = os.getpid()
        self._turn = threading.Lock()  # held over a request and what follows from its answer
        self._state = threading.Condition()  # guards what follows; never held over a request
        self._wants = Wants()
        self._connected: ControlClient | None = None  # it knows all of what is wanted
        self._current: ControlClient | None = None  # it may still be told
        self._closed = False
        self._told = ""
        self._token_array: np.ndarray[Any, np.dtype[np.uint32]] | None = None
        self._thread = threading.Thread(target=self._keep, name=f"{client}-demand", daemon=True)
        self._thread.start()

    # ---- for strategies ---------------------------------------------------------------------

    def subscribe(self, request: Subscribe) -> SubscribeResult:
        """Want more, or in another mode; raise as `ControlClient.request` does."""
        placement = Placement(request.priority, request.account, request.connection, request.group)

        def note(answer: dict[str, Any]) -> None:
            if not request.dry_run:
                refused = {refusal["instrument"] for refusal in answer.get("refused", ())}
                refused |= set(answer.get("refused_tokens", ()))  # if not all were named
                self._wants.add(
                    request.instruments, request.mode, placement, refused, follow=request.follow
                )

        return result_of(self._request(request, note))

    def unsubscribe(self, instruments: list[Instrument]) -> int:
        """Want these no longer; return how many were wanted."""
        answer = self._request(
            Unsubscribe(instruments=instruments), lambda _: self._wants.remove(instruments)
        )
        return int(answer["removed"])

    def set_mode(self, instruments: list[Instrument], mode: str) -> SubscribeResult:
        """Want those of these that are wanted in another mode."""
        request = SetMode(instruments=instruments, mode=mode)
        answer = self._request(request, lambda _: self._wants.set_mode(instruments, mode))
        return result_of(answer)

    def request(self, request: AnyRequest) -> Any:
        """Return the result of a request that changes nothing of what this client wants."""
        return self._request(request, lambda _: None)

    def wants(self) -> dict[Instrument, str]:
        """Return {instrument: mode} of what is wanted, as it was said."""
        with self._state:
            return self._wants.modes()

    def tokens(self) -> frozenset[int]:
        """Return the tokens of what is wanted, as far as they are known."""
        with self._state:
            return self._wants.tokens()

    def token_array(self) -> np.ndarray[Any, np.dtype[np.uint32]]:
        """Return `tokens` as an array, the same one until what is wanted changes."""
        with self._state:
            if self._token_array is None:
                self._token_array = np.array(sorted(self._wants.tokens()), np.uint32)
            return self._token_array

    def tokens_of(self, instruments: Iterable[Instrument]) -> frozenset[int]:
        """Return the tokens of these, as the control process answered last."""
        with self._state:
            return frozenset(t for form in instruments for t in self._wants.tokens_of(form))

    def close(self) -> None:
        """End the connection and the thread; what was wanted lives on for the grace."""
        if os.getpid() != self._pid:
            return  # a forked child has let go of it already
        with self._state:
            self._closed = True
            if self._current is not None:
                self._current.shut()
            self._state.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(_JOIN_S)

    # ---- requests ---------------------------------------------------------------------------

    def _request(self, request: AnyRequest, note: Callable[[Any], None]) -> Any:
        """Ask, and ask again if the control process ends meanwhile: requests may be repeated."""
        if os.getpid() != self._pid:
            raise PipelineError(
                f"this market belongs to process {self._pid} and this is {os.getpid()}, forked "
                "from it: attach again in the child"
            )
        deadline = time.monotonic() + self.timeout_s
        while True:
            client = self._wait_for_connection(deadline)
            with self._turn:
                if client is not self._connected:
                    continue
                try:
                    answer = client.request(request)
                except ControlUnavailable:
                    self._drop(client)
                    if time.monotonic() >= deadline:
                        raise
                    continue
                with self._state:
                    self._token_array = None
                    if isinstance(answer, dict):
                        self._wants.resolve(answer.get("tokens") or {})
                    note(answer)
                return answer

    def _wait_for_connection(self, deadline: float) -> ControlClient:
        while True:
            with self._state:
                if self._connected is not None:
                    return self._connected
                if self._closed:
                    raise ControlUnavailable("this market is closed: attach again")
                self._state.wait(min(0.1, max(0.0, deadline - time.monotonic())))
                if self._connected is not None:
                    return self._connected
            self._check()
            if time.monotonic() >= deadline:
                raise ControlUnavailable(
                    f"the control process does not answer on {self._path}: nothing has changed; "
                    "try again, what is streamed goes on"
                )

    def _drop(self, client: ControlClient) -> None:
        with self._state:
            if self._connected is client:
                self._connected = None
        client.shut()

    # ---- in the thread ----------------------------------------------------------------------

    def _keep(self) -> None:
        pause_s = _PAUSE_S[0]
        again = False
        while not self._closed:
            began = time.monotonic()
            client = self._connect(again=again)
            if client is not None:
                again = True
                while not client.wait_for_end(_FOLLOW_S):
                    self._follow_windows(client)
                self._drop(client)
                client.close()
            if time.monotonic() - began > _PAUSE_S[1]:
                pause_s = _PAUSE_S[0]
            with self._state:
                if not self._closed:
                    self._state.wait(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_S[1])

    def _connect(self, *, again: bool) -> ControlClient | None:
        """Return a connection over which everything has been declared; None for none."""
        try:
            client = ControlClient(
                self._path, client=self.client, timeout_s=self.timeout_s, owner=self._owner
            )
        except ControlUnavailable:
            return None
        with self._state:
            self._current = client
            if self._closed:
                client.shut()
        with self._turn:
            try:
                client.hello()
                if again:
                    self._declare(client)
            except (ControlError, CapacityError, UnknownInstruments) as error:
                self._tell_once(error)
                client.close()
                return None
            with self._state:
                self._connected = client
                self._state.notify_all()
        return client

    def _declare(self, client: ControlClient) -> None:
        """Say all of it; what cannot be had any more is told, and the rest is had."""
        with self._state:
            declare, placed = self._wants.declare(), self._wants.subscriptions()
        self._tell_refused(client.request(declare))
        for request in placed:
            try:
                client.request(request)
            except (CapacityError, RequestRefused, UnknownInstruments) as error:
                _log.warning("%d instruments are not where they were asked for: %s",
                             len(request.instruments), error)  # fmt: skip

    def _follow_windows(self, client: ControlClient) -> None:
        """Learn what the windows of this client stand for by now."""
        with self._state:
            if not self._wants.followed() or client is not self._connected:
                return
        with self._turn:
            try:
                found = client.request(Ask(about="windows", client=self.client))
            except ControlUnavailable:
                self._drop(client)
                return
            except RequestRefused as error:
                self._tell_once(error)
                return
            with self._state:
                before = self._wants.tokens()
                self._wants.resolve({row["form"]: row["instruments"] for row in found})
                if self._wants.tokens() != before:
                    self._token_array = None

    def _tell_refused(self, answer: dict[str, Any]) -> None:
        if refused := answer.get("refused"):
            first = refused[0]
            _log.warning(
                "after a restart of the control process %d instruments that are wanted were not "
                "accepted, first of all %s: %s",
                answer.get("refused_count", len(refused)), first["instrument"], first["text"],
            )  # fmt: skip

    def _tell_once(self, error: PipelineError) -> None:
        if str(error) != self._told and not isinstance(error, ControlUnavailable):
            _log.warning("what is wanted cannot be declared: %s", error)
        self._told = str(error)


def result_of(answer: dict[str, Any]) -> SubscribeResult:
    """Return what became of a request as the control process answered it."""
    return SubscribeResult(
        requested=int(answer["requested"]),
        accepted=int(answer["accepted"]),
        already=int(answer.get("already", 0)),
        refused=tuple(
            Refusal(r["instrument"], str(r.get("why", "")), str(r.get("text", "")))
            for r in answer.get("refused", ())
        ),
        available=int(answer.get("available", 0)),
    )
