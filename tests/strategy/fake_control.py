"""A control process for tests: a thread that speaks its words and keeps a ledger. No pool.

Names of the form `NSE:<token>` stand for that token, `WINDOW:<a>,<b>` for several; others are
unknown. `die` and `begin` are a crash and a restart, `hang` a process that answers nothing.
"""

from __future__ import annotations

import select
import socket
import threading
from pathlib import Path
from typing import Any

from pipeline.core import control
from pipeline.core.control import Answer, AnyRequest, Instrument, Problem
from pipeline.core.local_socket import listen_local

Mode = str


def tokens_of(form: Instrument) -> list[int]:
    """Return the tokens that a form stands for; KeyError when it is unknown."""
    if isinstance(form, int):
        return [form]
    kind, _, rest = form.partition(":")
    if kind in ("NSE", "WINDOW") and all(part.isdigit() for part in rest.split(",")):
        return [int(part) for part in rest.split(",")]
    raise KeyError(form)


def is_known(form: Instrument) -> bool:
    """Return whether a form stands for anything."""
    try:
        return bool(tokens_of(form))
    except KeyError:
        return False


class FakeControl:
    """Listens on a path from `begin` on; `ledger` is {client: {token: mode}}."""

    def __init__(self, path: Path, *, capacity: int = 9000) -> None:
        self.path = path
        self.capacity = capacity
        self.ledger: dict[str, dict[int, Mode]] = {}
        self.heard: list[tuple[str, AnyRequest]] = []
        self.documents: dict[str, Any] = {}
        self.die_before_answering = 0
        self.hanging = False
        self.connected = 0
        self.conflicts = 0  # so many clients are told that there is one of their name
        self._thread: threading.Thread | None = None
        self._stop: socket.socket | None = None

    def __enter__(self) -> FakeControl:
        self.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.die()

    def begin(self, *, forget: bool = False) -> None:
        """Listen; with `forget`, as one that knows nothing of before."""
        if forget:
            self.ledger = {}
        listener = listen_local(self.path)
        self._stop, end = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, args=(listener, end), daemon=True)
        self._thread.start()

    def die(self) -> None:
        """Close everything at once, as a process that is killed does."""
        if self._thread is None or self._stop is None:
            return
        self._stop.close()
        if self._thread is not threading.current_thread():
            self._thread.join(30)
        self._thread = None

    def of(self, client: str) -> dict[int, Mode]:
        """Return what a client wants."""
        return self.ledger.get(client, {})

    def asked(self, kind: type[Any]) -> list[Any]:
        """Return the requests of a kind, in the order in which they came."""
        return [request for _, request in list(self.heard) if isinstance(request, kind)]

    # ---- the thread -------------------------------------------------------------------------

    def _serve(self, listener: socket.socket, end: socket.socket) -> None:
        peers: dict[socket.socket, list[Any]] = {}
        try:
            while True:
                ready, _, _ = select.select([listener, end, *peers], [], [])
                if end in ready:
                    return
                if listener in ready:
                    peer, _ = listener.accept()
                    peer.setblocking(True)
                    peers[peer] = [b"", ""]
                for peer in [p for p in ready if p in peers]:
                    if not self._read(peer, peers[peer]):
                        peers.pop(peer).clear()
                        peer.close()
                self.connected = len(peers)
                if self.die_before_answering < 0:
                    return
        finally:
            for open_ in (listener, end, *peers):
                open_.close()
            self.path.unlink(missing_ok=True)

    def _read(self, peer: socket.socket, state: list[Any]) -> bool:
        try:
            chunk = peer.recv(1 << 16)
        except ConnectionError:
            return False
        state[0] += chunk
        while b"\n" in state[0]:
            line, _, state[0] = state[0].partition(b"\n")
            request = control.read_request(line)
            if isinstance(request, control.Hello):
                state[1] = request.client
            self.heard.append((state[1], request))
            if self.die_before_answering > 0 and not isinstance(request, control.Hello):
                self.die_before_answering -= 1
                if self.die_before_answering == 0:
                    self.die_before_answering = -1
                    return False
            if not self.hanging:
                answer = self._answer(state[1], request)
                answer.id = request.id
                try:
                    peer.sendall(control.to_line(answer))
                except ConnectionError:
                    return False  # a client that does not wait for its answer
        return bool(chunk)

    # ---- answers ----------------------------------------------------------------------------

    def _answer(self, client: str, request: AnyRequest) -> Answer:
        if isinstance(request, control.Hello):
            if self.conflicts:
                self.conflicts -= 1
                return Answer(problem=Problem(code="conflict", text="that client is here"))
            return Answer(result={"instance": "fake", "pid": 1, "started_ts_ns": 1})
        if isinstance(request, control.Ask):
            if request.about not in self.documents:
                return Answer(problem=Problem(code="not_found", text=f"no {request.about} here"))
            return Answer(result=self.documents[request.about])
        if isinstance(request, control.Act):
            done = not request.dry_run
            planned = [{"from": 0, "to": 1, "instruments": 3}]
            return Answer(result={"planned": planned, "done": done, "text": request.action})
        try:
            return self._change(client, request)
        except KeyError as error:
            return Answer(
                problem=Problem(
                    code="unknown_instrument", text=f"unknown: {error.args[0]}",
                    detail={"unknown": {error.args[0]: ["NSE:408065"]}},
                )
            )  # fmt: skip

    def _change(self, client: str, request: AnyRequest) -> Answer:
        before = self.of(client)
        wanted, forms = dict(before), []
        unknown: list[Instrument] = []
        if isinstance(request, control.Declare):
            wanted = {}
            for mode, of_mode in request.wants.items():
                unknown += [form for form in of_mode if not is_known(form)]
                forms += [form for form in of_mode if is_known(form)]
                wanted |= {t: mode for form in forms for t in tokens_of(form) if t not in wanted}
        else:
            assert isinstance(request, control.Subscribe | control.Unsubscribe | control.SetMode)
            forms = request.instruments
            if isinstance(request, control.Unsubscribe):
                unknown = [form for form in forms if not is_known(form)]
                forms = [form for form in forms if is_known(form)]
            for token in [t for form in forms for t in tokens_of(form)]:
                if isinstance(request, control.Unsubscribe):
                    wanted.pop(token, None)
                elif isinstance(request, control.Subscribe) or token in wanted:
                    wanted[token] = request.mode
        answer = self._settle(client, request, forms, wanted)
        if unknown:
            answer.result["refused"] += [
                {"instrument": form, "why": "unknown", "text": f"no {form}"} for form in unknown
            ]
        return answer

    def _settle(
        self, client: str, request: AnyRequest, forms: list[Instrument], wanted: dict[int, Mode]
    ) -> Answer:
        before = self.of(client)
        everybody = {t for name, of in self.ledger.items() if name != client for t in of}
        over = len(everybody | wanted.keys()) - self.capacity
        refused: list[Instrument] = []
        available = self.capacity - len(everybody | before.keys())
        if over > 0:
            lenient = isinstance(request, control.Declare)
            if not lenient and not getattr(request, "partial", False):
                numbers = {"requested": len(forms), "accepted": 0, "available": available}
                return Answer(problem=Problem(code="capacity", text="full", detail=numbers))
            refused = [t for form in forms for t in tokens_of(form) if t not in before][-over:]
            wanted = {t: m for t, m in wanted.items() if t not in refused}
        if not getattr(request, "dry_run", False):
            self.ledger[client] = wanted
        names = {form: tokens_of(form) for form in forms if isinstance(form, str)}
        if isinstance(request, control.Unsubscribe):
            removed = len(before) - len(wanted)
            result = {
                "requested": len(forms), "removed": removed, "refused": [], "tokens": names,
            }  # fmt: skip
            return Answer(result=result)
        return Answer(
            result={
                "requested": len(forms),
                "accepted": len(forms) - len(refused),
                "already": sum(t in before for form in forms for t in tokens_of(form)),
                "refused": [
                    {"instrument": f, "why": "capacity", "text": "full"} for f in refused[:1000]
                ],
                **({"refused_tokens": refused} if len(refused) > 1000 else {}),
                "available": self.capacity - len(everybody | wanted.keys()),
                "tokens": names,
                **_plan_of(request, forms),
            }
        )


def _plan_of(request: AnyRequest, forms: list[Instrument]) -> dict[str, Any]:
    if not getattr(request, "dry_run", False):
        return {}
    opened = [{"account": "main", "seat": 0, "instruments": len(forms)}]
    mirrors = {"connections": {"3": 1}, "opened": [], "refused": 1}
    return {"plan": {"connections": {}, "opened": opened, "mirrors": mirrors}}
