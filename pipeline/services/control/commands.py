"""What a client's request does to the pool, and what it is answered. Floor 4; no I/O.

A request is taken whole or changes nothing, unless it says `partial`. Every refusal has a code for
programs and a sentence for people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

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
    SetMode,
    Subscribe,
    Unsubscribe,
)
from pipeline.core.forms import follows_price
from pipeline.planning.pool import Priority, Want
from pipeline.services.control.ledger import effective
from pipeline.services.control.meaning import (
    Found,
    Resolver,
    look_up,
    mode_named,
    refuse_strangers,
)
from pipeline.services.control.names import Expanded, Stranger
from pipeline.services.control.pool import Pool
from pipeline.services.control.questions import Questions
from pipeline.services.control.refused import Refused
from pipeline.services.control.results import (
    NAMED_MAX,
    plan_document,
    refusal_of,
    result_of,
    tell_left_out,
)
from pipeline.services.control.windows import Window, Windows

_Function = TypeVar("_Function")


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
        self._resolve = resolve
        self._windows = windows
        self._about = dict(about)
        self._questions: dict[str, Callable[[Ask], Any]] = {
            **Questions(pool, windows, owner).by_name(), **questions,
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
            mode = mode_named(word)
            found = look_up(request.wants[word], self._resolve)
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
        result = result_of(len(added), plan)
        result["requested"] += len(unknown)
        result["refused_count"] += len(unknown)
        result["refused"] += _told(unknown)
        names |= {draft.form: list(draft.view.tokens) for draft in taken}
        return {**result, "tokens": names}

    def _declared_windows(
        self, client: str, request: Declare, unknown: dict[str, Stranger]
    ) -> list[Window]:
        """Return the windows of a declaration; what stands for nothing goes into `unknown`."""
        drafts: list[Window] = []
        for word, forms in request.follow.items():
            mode = mode_named(word)
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
        self._refuse_strange_pins(request.account, request.connection)
        template = Want(
            0, mode_named(request.mode), Priority[priority], request.group, request.account,
            request.connection,
        )  # fmt: skip
        drafts = {str(form): self._draft(client, str(form), template) for form in followed}
        refuse_strangers({form: d for form, d in drafts.items() if isinstance(d, Stranger)})
        windows = [draft for draft in drafts.values() if isinstance(draft, Window)]
        wants = {token: template._replace(instrument_token=token) for token in found.tokens}
        result = self._add(client, wants, windows, partial=request.partial, dry_run=request.dry_run)
        if not request.dry_run:
            for form in found.names:
                self._windows.end(client, form)  # from now on it stays where it is
            if request.account is not None or request.connection is not None:
                self.pool.upkeep.bring_home(wants)
        names = {window.form: list(window.view.tokens) for window in windows}
        return {**result, "tokens": {**found.names, **names}}

    def _set_mode(self, client: str, request: SetMode) -> dict[str, Any]:
        mode = mode_named(request.mode)
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
        result["refused_count"] += len(strangers)
        result["refused"] += [
            {"instrument": token, "why": "not_subscribed", "text": "subscribe to it first"}
            for token in strangers[:NAMED_MAX]
        ]
        return result

    def _unsubscribe(self, client: str, request: Unsubscribe) -> dict[str, Any]:
        """Give up instruments, and windows by their form; what is left of a window stays its own.

        An instrument of a window that goes on is wanted by it for as long. Names that nobody knows
        keep nobody from giving up the others, and are told.
        """
        ledger = self.pool.ledger
        found = self._meant(client, request.instruments, lenient=True)
        before = ledger.wants_of(client).keys()
        for window in self._windows_among(client, request.instruments):
            self._windows.end(client, window.form)
        ledger.remove(client, found.tokens)
        gone = before - ledger.wants_of(client).keys()
        removed = sum(token in gone for token in found.tokens)
        told = _told(found.strangers)
        return {
            "requested": len(found.tokens), "removed": removed, "refused": told[:NAMED_MAX],
            "tokens": found.names,
        }  # fmt: skip

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
            raise refusal_of(len(added), plan)
        result = result_of(len(added), plan)
        result["already"] = already
        tell_left_out(result, wants, windows, refused)
        if dry_run:
            view = pool.view(ideal=True)
            result["plan"] = plan_document(plan, pool.mirrors.foresee(added, plan, view))
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

    def _refuse_strange_pins(self, account: str | None, connection: int | None) -> None:
        """Refuse pins that nothing could ever follow, which would bind an instrument for good."""
        assigned = self.pool.assigned
        accounts = [key.account for key in assigned.keys]
        if account is not None and account not in accounts:
            known = ", ".join(accounts)
            raise Refused("not_found", f"API key not found: {account[:60]!r}; known: {known}")
        if connection is not None and not assigned.ever_was(connection):
            numbers = ", ".join(map(str, sorted(assigned.links))) or "none"
            text = f"connection {connection} does not exist; there are: {numbers}"
            raise Refused("not_found", text)

    def _find(self, instruments: Sequence[Instrument], *, lenient: bool = False) -> Found:
        """Return what was named; refuse names that nobody knows, unless lenient."""
        found = look_up(instruments, self._resolve)
        if not lenient:
            refuse_strangers(found.strangers)
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


def _told(unknown: Mapping[str, Stranger]) -> list[dict[str, Any]]:
    return [
        {"instrument": name, "why": "unknown", "text": stranger.text}
        for name, stranger in unknown.items()
    ]


def _named(functions: Mapping[str, _Function], name: str, noun: str) -> _Function:
    if name not in functions:
        words = ", ".join(sorted(functions))
        raise Refused("bad_request", f"{noun} {name[:40]!r}: expected one of {words}")
    return functions[name]
