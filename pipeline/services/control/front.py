"""What the HTTP side needs of the control process, without HTTP. Floor 4; no I/O.

A caller over HTTP has no connection that its demand could live by: it is a durable client, by the
name that it gives, and its demand stays until it is taken back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pipeline.core.config import Config
from pipeline.core.control import Answer, AnyRequest, Problem
from pipeline.instruments.catalogue import Catalogue
from pipeline.services.control.api.session import Session, Sessions
from pipeline.services.control.desk import Desk
from pipeline.services.control.events import Hub
from pipeline.services.control.loading import Ready, at_once
from pipeline.services.control.router import Router
from pipeline.shm.names import InstancePaths

#: Whose the demand is of those who ask for a price without subscribing to it.
QUOTES_CLIENT: Final = "quotes"


class Front:
    """The owners' pools, for the API.

    `changed` is called after each request that may have changed them. `ready` is to be waited for
    before a `demand` that may have names in it. `reserved` are clients whose demand is nobody's to
    change.
    """

    def __init__(
        self, config: Config, paths: InstancePaths, router: Router, desk: Desk, hub: Hub,
        sessions: Sessions, *, reserved: frozenset[str], changed: Callable[[], None],
        catalogue: Callable[[], Catalogue],
        ready: Ready = at_once,
    ) -> None:  # fmt: skip
        self.config = config
        self.paths = paths
        self.hub = hub
        self.sessions = sessions
        self.ready = ready
        self._router = router
        self._desk = desk
        self._reserved = reserved
        self._changed = changed
        #: The instrument list; raises NoInstruments or BadInstruments. Any thread may ask.
        self.catalogue = catalogue

    @property
    def refusals(self) -> dict[str, int]:
        """How many requests of a client were refused, by the problem's code."""
        return self._router.refusals

    def stats(self, owner: str | None = None) -> dict[str, Any]:
        """Return the stats of all accounts, or of an owner's."""
        return self._desk.stats(owner=owner)

    def health(self, *, brief: bool = False, owner: str | None = None) -> dict[str, Any]:
        """Return the health document, or only the state."""
        return self._desk.health(brief=brief, owner=owner)

    def alerts(self, owner: str | None = None) -> dict[str, Any]:
        """Return the alerts, open and resolved."""
        return self._desk.alerts(owner)

    def part_of(self, session: Session | None) -> str | None:
        """Return whose part alone a session is shown; None: it is let see and do everything.

        One that an address with an account began has that account's owner's part. One of a plain
        address is the instance's user, and so is who has the token.
        """
        if session is None or not session.account or len(self.config.owners) == 1:
            return None
        return self.config.account(session.account).owner

    def answer(self, request: AnyRequest, owner: str | None = None) -> Answer:
        """Answer a question, or do something to the pool of an owner, or of all."""
        answer = self._router.answer("api", request, owner)
        self._changed()
        return answer

    def demand(self, name: str, request: AnyRequest, owner: str | None = None) -> Answer:
        """Change what a client wants; a client that this makes and refuses is forgotten again.

        owner: on whose connections; where there are several one has to be named.
        """
        ledger = self._router.ledger(owner)
        client = ledger.clients.get(name)
        if name in self._reserved or (client is not None and not client.durable):
            text = f"client {name!r} says by itself what it wants: take another name"
            asked = len(getattr(request, "instruments", ()))
            detail = {"requested": asked, "accepted": 0, "available": 0}
            return Answer(problem=Problem(code="conflict", text=text, detail=detail))
        if client is None:
            ledger.join(name, durable=True)
        answer = self._router.answer(name, request, owner)
        client = ledger.clients[name]
        if client.is_idle and not client.pid:  # else it may be connected, and ask for more
            ledger.forget(name)
        self._changed()
        return answer

    def want_for_a_while(self, owner: str, request: AnyRequest) -> Answer:
        """Change what is wanted for those who ask for a price once; nobody else has its name."""
        ledger = self._router.ledger(owner)
        if QUOTES_CLIENT not in ledger.clients:
            ledger.join(QUOTES_CLIENT)
        answer = self._router.answer(QUOTES_CLIENT, request, owner)
        if ledger.clients[QUOTES_CLIENT].is_idle:
            ledger.forget(QUOTES_CLIENT)
        self._changed()
        return answer
