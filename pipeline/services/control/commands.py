"""What a client's request does to the pool, and what it is answered. Floor 4; no I/O.

A request is taken whole or changes nothing, unless it says `partial`. Every refusal has a code for
programs and a sentence for people.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple, TypeVar

from pipeline.core.config import DEFAULT_OWNER
from pipeline.core.control import (
    MODES,
    Act,
    Answer,
    AnyRequest,
    Ask,
    Declare,
    Hello,
    Instrument,
    Problem,
    SetMode,
    Subscribe,
    Unsubscribe,
    mode_of,
)
from pipeline.core.forms import follows_price
from pipeline.planning.pool import Plan, Priority, Refusal, Want, Why
from pipeline.services.control.ledger import effective
from pipeline.services.control.names import Expanded, Stranger
from pipeline.services.control.pool import Pool
from pipeline.services.control.windows import Window, Windows

#: So many refused instruments are named in an answer; all are counted.
_NAMED_MAX: Final = 1000
_SHOWN_MAX: Final = 5
_TOKEN_MAX: Final = 2**32 - 1

_Function = TypeVar("_Function")

#: Turns what people write into tokens, and says what it does not know.
Resolver = Callable[[Sequence[str]], tuple[Mapping[str, Sequence[int]], Mapping[str, Stranger]]]


class Refused(Exception):
    """A request that is not done; becomes the answer's problem."""

    def __init__(self, code: str, text: str, detail: dict[str, Any] | None = None) -> None:
        self.problem = Problem(code=code, text=text, detail=detail or {})
        super().__init__(text)


class Found(NamedTuple):
    """What instruments stand for: their tokens, each name's own, and the names nobody knows."""

    tokens: list[int]
    names: dict[str, list[int]]
    strangers: Mapping[str, Stranger]


class Commands:
    """Serves the clients of one pool; `answer` never raises for what a client says.

    `questions` and `actions` are what `Ask` and `Act` may name, each a function of the request;
    `refusals` counts what was refused, by the problem's code. `windows` are those that follow
    their underlying; a request for one is a request for its options and its underlying. `owner`:
    whose pool it is.
    """

    def __init__(
        self, pool: Pool, *, resolve: Resolver, windows: Windows, about: Mapping[str, Any],
        questions: Mapping[str, Callable[[Ask], Any]],
        actions: Mapping[str, Callable[[Act], Any]], owner: str = DEFAULT_OWNER,
    ) -> None:  # fmt: skip
        self.pool = pool
        self._owner = owner
        self._resolve = resolve
        self._windows = windows
        self._about = dict(about)
        self._questions: dict[str, Callable[[Ask], Any]] = {
            "clients": self._clients, "subscriptions": self._subscriptions,
            "windows": self._windows_document, **questions,
        }  # fmt: skip
        self._actions = dict(actions)
        self.refusals: dict[str, int] = {}

    def answer(self, client: str, request: AnyRequest) -> Answer:
        """Do what a client asks for, or say why not."""
        try:
            return Answer(id=request.id, result=self.do(client, request))
        except Refused as refused:
            code = refused.problem.code
            self.refusals[code] = self.refusals.get(code, 0) + 1
            return Answer(id=request.id, problem=refused.problem)

    def do(self, client: str, request: AnyRequest) -> Any:
        """Do what a client asks for and return the result; raise Refused."""
        match request:
            case Hello():
                return self._about
            case Declare():
                return self._declare(client, request)
            case Subscribe():
                return self._subscribe(client, request)
            case SetMode():
                return self._set_mode(client, request)
            case Unsubscribe():
                return self._unsubscribe(client, request)
            case Ask():
                return _named(self._questions, request.about, "question")(request)
            case Act():
                return _named(self._actions, request.action, "action")(request)

    # ---- demand -----------------------------------------------------------------------------

    def _declare(self, client: str, request: Declare) -> dict[str, Any]:
        """Take what there is room for: a client that comes back had all of it before."""
        wants: dict[int, Want] = {}
        unknown: dict[str, Stranger] = {}
        names: dict[str, list[int]] = {}
        for word in sorted(request.wants, key=lambda w: MODES.get(w, 0)):
            mode = _mode(word)
            found = self._look_up(request.wants[word])
            unknown.update(found.strangers)
            names.update(found.names)
            wants.update((token, Want(token, mode)) for token in found.tokens)
        ledger = self.pool.ledger
        known = ledger.clients[client].wants
        wants = {t: known[t]._replace(mode=w.mode) if t in known else w for t, w in wants.items()}
        drafts = self._declared_windows(client, request, unknown)
        added = self._added(client, wants, drafts)
        plan = self.pool.plan(added, all_or_nothing=False)
        refused = {refusal.token for refusal in plan.refused}
        ledger.replace(client, {t: w for t, w in wants.items() if t not in refused})
        taken = self._begin_whole(drafts, refused)
        for draft in drafts:
            if draft not in taken:  # it waits for room, with its underlying alone
                self._windows.begin(replace(draft, view=Expanded(draft.view.underlying)))
        declared = {draft.form for draft in drafts}
        for window in self._windows.of(client):
            if window.form not in declared:
                self._windows.end(client, window.form)
        result = _result(len(added), plan)
        result["requested"] += len(unknown)
        result["refused_count"] += len(unknown)
        result["refused"] += [
            {"instrument": name, "why": "unknown", "text": stranger.text}
            for name, stranger in unknown.items()
        ]
        names |= {draft.form: list(draft.view.tokens) for draft in taken}
        return {**result, "tokens": names}

    def _declared_windows(
        self, client: str, request: Declare, unknown: dict[str, Stranger]
    ) -> list[Window]:
        """Return the windows of a declaration; what stands for nothing goes into `unknown`."""
        drafts: list[Window] = []
        for word, forms in request.follow.items():
            mode = _mode(word)
            for form in dict.fromkeys(forms):
                known = self._windows.get(client, form)
                template = known.template._replace(mode=mode) if known else Want(0, mode)
                found = self._draft(client, form, template)
                if isinstance(found, Stranger):
                    unknown[form] = found
                else:
                    drafts.append(found)
        return drafts

    def _subscribe(self, client: str, request: Subscribe) -> dict[str, Any]:
        followed = (
            [form for form in dict.fromkeys(request.instruments) if follows_price(form)]
            if request.follow
            else []
        )
        found = self._find([form for form in request.instruments if form not in followed])
        priority = request.priority.upper()
        if priority not in Priority.__members__:
            words = ", ".join(name.lower() for name in Priority.__members__)
            raise Refused("bad_request", f"priority {request.priority[:40]!r}: expected {words}")
        template = Want(
            0, _mode(request.mode), Priority[priority], request.group, request.account,
            request.connection,
        )  # fmt: skip
        drafts = {str(form): self._draft(client, str(form), template) for form in followed}
        _refuse_strangers({form: d for form, d in drafts.items() if isinstance(d, Stranger)})
        windows = [draft for draft in drafts.values() if isinstance(draft, Window)]
        wants = {token: template._replace(instrument_token=token) for token in found.tokens}
        result = self._add(client, wants, windows, partial=request.partial, dry_run=request.dry_run)
        if not request.dry_run:
            for form in found.names:
                self._windows.end(client, form)  # from now on it stays where it is
        names = {window.form: list(window.view.tokens) for window in windows}
        return {**result, "tokens": {**found.names, **names}}

    def _set_mode(self, client: str, request: SetMode) -> dict[str, Any]:
        mode = _mode(request.mode)
        known = self.pool.ledger.clients[client].wants
        found = self._meant(client, request.instruments)
        wants = {t: known[t]._replace(mode=mode) for t in found.tokens if t in known}
        windows = [
            replace(window, template=window.template._replace(mode=mode))
            for window in self._windows_among(client, request.instruments)
        ]
        result = self._add(client, wants, windows, partial=False, dry_run=False)
        following = {token for window in windows for token in window.view.tokens}
        strangers = [t for t in found.tokens if t not in known and t not in following]
        result["requested"], result["tokens"] = len(found.tokens), found.names
        result["refused"] += [
            {"instrument": token, "why": "not_subscribed", "text": "subscribe to it first"}
            for token in strangers[:_NAMED_MAX]
        ]
        return result

    def _unsubscribe(self, client: str, request: Unsubscribe) -> dict[str, Any]:
        """Give up instruments, and windows by their form; what is left of a window stays its own.

        An instrument of a window that goes on is wanted by it for as long.
        """
        ledger = self.pool.ledger
        found = self._meant(client, request.instruments, lenient=True)
        before = ledger.wants_of(client).keys()
        for window in self._windows_among(client, request.instruments):
            self._windows.end(client, window.form)
        ledger.remove(client, found.tokens)
        gone = before - ledger.wants_of(client).keys()
        removed = sum(token in gone for token in found.tokens)
        return {"requested": len(found.tokens), "removed": removed, "tokens": found.names}

    def _add(
        self, client: str, wants: dict[int, Want], windows: Sequence[Window] = (), *,
        partial: bool, dry_run: bool,
    ) -> dict[str, Any]:  # fmt: skip
        pool = self.pool
        added = self._added(client, wants, windows)
        plan = pool.plan(added, all_or_nothing=not partial)
        already = sum(token in pool.ledger.desired for token in added)
        refused = {refusal.token for refusal in plan.refused}
        if refused and not partial:
            raise _refusal(len(added), plan)
        result = _result(len(added), plan)
        result["already"] = already
        _tell_left_out(result, wants, windows, refused)
        if dry_run:
            result["plan"] = _plan_document(plan)
        else:
            pool.ledger.add(client, {t: w for t, w in wants.items() if t not in refused})
            self._begin_whole(windows, refused)
        return result

    # ---- windows ----------------------------------------------------------------------------

    def _draft(self, client: str, form: str, template: Want) -> Window | Stranger:
        if not follows_price(form):
            return Stranger(f"{form[:60]!r}: nothing in it follows a price; expected one with atm")
        return self._windows.draft(client, form, template)

    def _windows_among(self, client: str, instruments: Sequence[Instrument]) -> list[Window]:
        found = (self._windows.get(client, form) for form in dict.fromkeys(instruments))
        return [window for window in found if window is not None]

    def _added(
        self, client: str, wants: dict[int, Want], windows: Iterable[Window]
    ) -> dict[int, Want]:
        """Return what would be desired of these, were they all added."""
        ledger = self.pool.ledger
        added = ledger.with_added(client, wants)
        for window in windows:
            for token, want in ledger.with_added(window.part, window.wants).items():
                added[token] = effective((added[token], want)) if token in added else want
        return added

    def _begin_whole(self, windows: Iterable[Window], refused: set[int]) -> list[Window]:
        """Begin the windows of which nothing was refused; return them."""
        taken = [window for window in windows if refused.isdisjoint(window.wants)]
        for window in taken:
            self._windows.begin(window)
        return taken

    # ---- instruments ------------------------------------------------------------------------

    def _find(self, instruments: Sequence[Instrument], *, lenient: bool = False) -> Found:
        """Return what was named; refuse names that nobody knows, unless lenient."""
        found = self._look_up(instruments)
        if not lenient:
            _refuse_strangers(found.strangers)
        return found

    def _meant(
        self, client: str, instruments: Sequence[Instrument], *, lenient: bool = False
    ) -> Found:
        """Return as `_find`; a window's form means what is in the window now."""
        windows = self._windows_among(client, instruments)
        names = {window.form: list(window.view.tokens) for window in windows}
        found = self._find([form for form in instruments if form not in names], lenient=lenient)
        tokens = [*found.tokens, *(token for held in names.values() for token in held)]
        return Found(list(dict.fromkeys(tokens)), {**found.names, **names}, found.strangers)

    def _look_up(self, instruments: Sequence[Instrument]) -> Found:
        names = [i for i in instruments if isinstance(i, str) and not i.isdecimal()]
        known: Mapping[str, Sequence[int]] = {}
        unknown: Mapping[str, Stranger] = {}
        if names:
            known, unknown = self._resolve(names)
        tokens: list[int] = []
        for instrument in instruments:
            if isinstance(instrument, str) and instrument in known:
                tokens += known[instrument]
            elif isinstance(instrument, int) or instrument.isdecimal():
                tokens.append(_token(instrument))
        meant = {name: list(found) for name, found in known.items()}
        return Found(list(dict.fromkeys(tokens)), meant, unknown)

    # ---- questions --------------------------------------------------------------------------

    def _clients(self, request: Ask) -> list[dict[str, Any]]:
        ledger = self.pool.ledger
        return [
            {
                "name": client.name,
                "owner": self._owner,
                "pid": client.pid,
                "connected": client.gone_ns is None and not client.durable,
                "durable": client.durable,
                "instruments": len(wants),
                "modes": _by_mode(wants.values()),
            }
            for client in ledger.clients.values()
            if client.whole is None and (wants := ledger.wants_of(client.name)) is not None
        ]

    def _windows_document(self, request: Ask) -> list[dict[str, Any]]:
        rows = self._windows.document(request.client)
        return [{**row, "owner": self._owner} for row in rows]

    def _subscriptions(self, request: Ask) -> list[dict[str, Any]]:
        pool = self.pool
        wants = pool.ledger.desired
        tokens = [token for token in wants if token > request.after]
        if request.client is not None:
            tokens = [t for t in tokens if request.client in pool.ledger.holder_names(t)]
        tokens = heapq.nsmallest(request.limit or len(tokens), tokens)
        return [
            {
                "instrument_token": token,
                "owner": self._owner,
                "mode": want.mode.name.lower(),
                "priority": want.priority.name.lower(),
                "connection": pool.placement.get(token),
                "moving_to": pool.moves.targets.get(token),
                "unplaced": str(pool.unplaced[token]) if token in pool.unplaced else None,
                "clients": sorted(pool.ledger.holder_names(token)),
            }
            for token, want in ((token, wants[token]) for token in tokens)
        ]


def _refuse_strangers(unknown: Mapping[str, Stranger]) -> None:
    if not unknown:
        return
    texts = [stranger.text for stranger in list(unknown.values())[:_SHOWN_MAX]]
    left = len(unknown) - _SHOWN_MAX
    more = f"; and {left} more" if left > 0 else ""
    near = {name: list(stranger.near) for name, stranger in unknown.items()}
    raise Refused("unknown_instrument", "; ".join(texts) + more, {"unknown": near})


def _named(functions: Mapping[str, _Function], name: str, noun: str) -> _Function:
    if name not in functions:
        words = ", ".join(sorted(functions))
        raise Refused("bad_request", f"{noun} {name[:40]!r}: expected one of {words}")
    return functions[name]


def _mode(word: str) -> Any:
    try:
        return mode_of(word)
    except ValueError as error:
        raise Refused("bad_request", str(error)) from None


def _token(instrument: int | str) -> int:
    text = str(instrument)
    if len(text) > 10 or not 0 < int(text) <= _TOKEN_MAX:
        raise Refused("bad_request", f"instrument token {text[:40]}: expected 1 to {_TOKEN_MAX}")
    return int(text)


def _by_mode(wants: Iterable[Want]) -> dict[str, int]:
    counts = Counter(want.mode for want in wants)
    return {mode.name.lower(): counts[mode] for mode in MODES.values()}


def _refused_document(refusal: Refusal) -> dict[str, Any]:
    return {"instrument": refusal.token, "why": str(refusal.why), "text": refusal.why.text}


def _result(requested: int, plan: Plan) -> dict[str, Any]:
    refused = len(plan.refused)
    return {
        "requested": requested,
        "accepted": requested - refused,
        "already": plan.kept,
        "refused": [_refused_document(refusal) for refusal in plan.refused[:_NAMED_MAX]],
        "refused_count": refused,
        "available": plan.available,
    }


def _tell_left_out(
    result: dict[str, Any], wants: Mapping[int, Want], windows: Sequence[Window],
    refused: set[int],
) -> None:  # fmt: skip
    """Add to a result what is left out because its window is not whole."""
    whole = [window for window in windows if refused.isdisjoint(window.wants)]
    taken = wants.keys() | {token for window in whole for token in window.wants}
    every = {token for window in windows for token in window.wants}
    left_out = sorted(every - taken - refused)
    result["accepted"] -= len(left_out)
    result["refused_count"] += len(left_out)
    result["refused"] += [
        {"instrument": token, "why": "window", "text": "there is no room for its whole window"}
        for token in left_out[: _NAMED_MAX - len(result["refused"])]
    ]


def _refusal(requested: int, plan: Plan) -> Refused:
    reasons = [r.why for r in plan.refused if r.why is not Why.OTHERS_REFUSED]
    why = Counter(reasons or [Why.CAPACITY]).most_common(1)[0][0]
    detail = {"requested": requested, "accepted": 0, "available": plan.available}
    text = (
        f"{requested} instruments asked for, room for {plan.available} more: {why.text}. "
        "Nothing was changed; partial takes what there is room for"
    )
    return Refused("capacity", text, {**detail, "refused_count": len(reasons)})


def _plan_document(plan: Plan) -> dict[str, Any]:
    counts = Counter(plan.assign.values())
    opened = {new.ref: new for new in plan.open}
    return {
        "connections": {str(n): count for n, count in sorted(counts.items()) if n not in opened},
        "opened": [
            {"account": new.account, "seat": new.seat, "instruments": counts[new.ref]}
            for new in plan.open
        ],
    }
