"""Which owner a request is about, and who answers it. Floor 4; no I/O.

Each owner of accounts has a pool and commands of his own, so that nothing of one can meet what is
another's. Who names an owner speaks with that one alone; with one owner nobody has to. Who names
none where there are several is the instance's user, and may see everything and care for every
connection, but has to say for whom an instrument is wanted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from pipeline.core.control import (
    INSTRUMENTS_MAX,
    Act,
    Answer,
    AnyRequest,
    Ask,
    Declare,
    Hello,
    Problem,
    SetMode,
    Subscribe,
    Unsubscribe,
)
from pipeline.services.control.commands import Commands
from pipeline.services.control.ledger import Ledger
from pipeline.services.control.refused import Refused

#: What each owner's commands answer for themselves: lists, which together are everybody's.
_LISTS: Final = ("clients", "subscriptions", "windows")


class Router:
    """The commands of all owners, by name; `answer` never raises for what a client says.

    `about` and `questions` are for who names no owner. `begin` is called before each request is
    answered, which may take its time.
    """

    def __init__(
        self, commands: Mapping[str, Commands], *, about: Mapping[str, Any],
        questions: Mapping[str, Callable[[Ask], Any]], begin: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._commands = dict(commands)
        self._begin = begin
        self._about = {**about, "owner": None}
        self._questions = dict(questions)
        self._nobodys = Ledger()
        self._refusals: Counter[str] = Counter()
        self._only = next(iter(self._commands.values())) if len(self._commands) == 1 else None

    @property
    def refusals(self) -> dict[str, int]:
        """How many requests were refused, by the problem's code."""
        total = Counter(self._refusals)
        for commands in self._commands.values():
            total.update(commands.refusals)
        return dict(total)

    def problem_with(self, owner: str | None) -> Problem | None:
        """Return what is wrong with an owner's name, None if there is such a one, or none named."""
        if owner is None or owner in self._commands:
            return None
        text = f"owner {owner[:40]!r}: expected one of {', '.join(self._commands)}"
        return Problem(code="bad_request", text=text)

    def whose(self, owner: str | None) -> str | None:
        """Return the owner that is meant: where there is only one, nobody has to name him."""
        return next(iter(self._commands)) if owner is None and self._only else owner

    def ledger(self, owner: str | None) -> Ledger:
        """Return where the clients of an owner are; of nobody's, who want nothing, in their own."""
        commands = self._of(owner)
        return self._nobodys if commands is None else commands.pool.ledger

    def answer(self, client: str, request: AnyRequest, owner: str | None = None) -> Answer:
        """Do what a client asks for, or say why not."""
        self._begin()
        commands = self._of(owner)
        problem = self.problem_with(owner) or _too_many(request, commands)
        if commands is not None and problem is None:
            return commands.answer(client, request)
        try:
            if problem is not None:
                raise Refused(problem.code, problem.text, problem.detail)
            return Answer(id=request.id, result=self._of_all(client, request))
        except Refused as refused:
            self._refusals[refused.problem.code] += 1
            return Answer(id=request.id, problem=refused.problem)

    def _of(self, owner: str | None) -> Commands | None:
        return self._only if owner is None else self._commands.get(owner)

    # ---- of all owners ----------------------------------------------------------------------

    def _of_all(self, client: str, request: AnyRequest) -> Any:
        match request:
            case Hello():
                return self._about
            case Ask():
                return self._ask(client, request)
            case Act():
                return self._act(client, request)
            case Declare() if not any(request.wants.values()) and not any(request.follow.values()):
                return self._give_up(client, request)
            case _:
                raise Refused("bad_request", f"say for whom: {self._names()}")

    def _names(self) -> str:
        return f"this instance has several owners, name one with owner: {', '.join(self._commands)}"

    def _each(self, client: str, request: AnyRequest) -> list[Any]:
        return [commands.do(client, request) for commands in self._commands.values()]

    def _give_up(self, client: str, request: Declare) -> Any:
        """Have a client of that name want nothing, whosever it is."""
        for commands in self._commands.values():
            if client in commands.pool.ledger.clients:
                commands.do(client, request)
        return {"requested": 0, "accepted": 0, "refused": [], "refused_count": 0, "tokens": {}}

    def _ask(self, client: str, request: Ask) -> Any:
        if request.about in self._questions:
            return self._questions[request.about](request)
        if request.about not in _LISTS:
            words = ", ".join(sorted((*_LISTS, *self._questions)))
            raise Refused(
                "bad_request", f"question {request.about[:40]!r}: expected one of {words}"
            )
        rows = [row for part in self._each(client, request) for row in part]
        return _page(rows, request.limit) if request.about == "subscriptions" else rows

    def _act(self, client: str, request: Act) -> Any:
        if request.connection is not None:
            return self._at(client, request.connection, request)
        if request.action == "recycle" and request.account is not None:
            return self._with_account(request.account).do(client, request)
        if request.action == "rebalance":
            return _together(self._each(client, request))
        if request.action == "scale":
            raise Refused("bad_request", f"scale: {self._names()}")
        return next(iter(self._commands.values())).do(client, request)

    def _with_account(self, account: str) -> Commands:
        """Return who answers for an account; for one that there is not, anybody says so."""
        every = list(self._commands.values())
        found = (c for c in every if account in (key.account for key in c.pool.assigned.keys))
        return next(found, every[0])

    def _at(self, client: str, connection: int, request: Act) -> Any:
        links = {n: one for one in self._commands.values() for n in one.pool.links}
        if connection not in links:
            numbers = ", ".join(map(str, sorted(links))) or "none"
            text = f"connection {connection} does not exist; there are: {numbers}"
            raise Refused("not_found", text)
        return links[connection].do(client, request)


def _too_many(request: AnyRequest, commands: Commands | None) -> Problem | None:
    """Return what is wrong with a request that would keep everybody else waiting for seconds."""
    count = _count(request)
    if count <= INSTRUMENTS_MAX:
        return None
    keys = () if commands is None else commands.pool.assigned.keys
    room = sum(key.connections_max * key.instruments_per_connection for key in keys)
    most = max(INSTRUMENTS_MAX, room)
    if count <= most:
        return None
    text = f"{count} instruments in one request: expected at most {most}; ask in parts"
    detail = {"requested": count, "accepted": 0, "available": most}
    return Problem(code="bad_request", text=text, detail=detail)


def _count(request: AnyRequest) -> int:
    match request:
        case Declare():
            wanted = sum(map(len, request.wants.values()))
            return wanted + sum(map(len, request.follow.values()))
        case Subscribe() | SetMode() | Unsubscribe():
            return len(request.instruments)
        case _:
            return 0


def _page(rows: list[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    """Sort by instrument; an instrument of several owners is on one page, though it be longer."""
    rows.sort(key=lambda row: row["instrument_token"])
    if not 0 < limit < len(rows):
        return rows
    last = rows[limit - 1]["instrument_token"]
    return [row for row in rows if row["instrument_token"] <= last]


def _together(results: list[dict[str, Any]]) -> dict[str, Any]:
    planned = [row for result in results for row in result["planned"]]
    count = sum(row["instruments"] for row in planned)
    text = f"{count} instruments move" if count else "the pools are in balance"
    return {"planned": planned, "done": all(result["done"] for result in results), "text": text}
