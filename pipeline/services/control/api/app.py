"""The HTTP API of the control process: paths, bodies, status codes. Floor 4.

Every handler runs in the event loop that turns the pool, so that what it reads and changes holds
still, and does through `Commands` what a client of `control.sock` does.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, Response

from pipeline.core.control import Act, AnyRequest, Ask, SetMode, Subscribe, Unsubscribe
from pipeline.core.secrets import Secret
from pipeline.services.control.api.accounts import put_token
from pipeline.services.control.api.answers import error_responses, json_answer, refusal
from pipeline.services.control.api.entrance import Entrance, GatewayOf
from pipeline.services.control.api.metrics import Metrics
from pipeline.services.control.api.models import (
    ActBody,
    InstrumentsBody,
    ModeBody,
    SubscribeBody,
    TokenBody,
)
from pipeline.services.control.api.openalgo.access import page_gateway
from pipeline.services.control.api.openalgo.paths import add_openalgo
from pipeline.services.control.api.openalgo.replies import failure, is_ours
from pipeline.services.control.api.page import Page
from pipeline.services.control.api.schemas import GOOD
from pipeline.services.control.api.stream import EventStream
from pipeline.services.control.front import Front
from pipeline.services.control.refused import Refused
from pipeline.services.control.screen.routes import ScreenPaths

#: Of whose accounts alone; without it of all.
Owner = Annotated[str | None, Query(max_length=64)]


class _Events(PlainTextResponse):
    """What the document says `/events` answers."""

    media_type = "text/event-stream"


#: What is no JSON.
_KINDS: Final[dict[str, type[Response]]] = {"metrics": PlainTextResponse, "events": _Events}


def build_app(front: Front) -> FastAPI:
    """Return the application that serves a control process."""
    app = FastAPI(title="Control API", version="1", docs_url=None, redoc_url=None)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(HTTPException, _failed)
    app.include_router(_Paths(front).router())
    keys = add_openalgo(app, front)
    app.include_router(Entrance(front.sessions, Page(), keys.forget, gateway_of(front)).router())
    app.include_router(ScreenPaths(front).router())
    return app


def gateway_of(front: Front) -> GatewayOf:
    """Return what says where a page of this instance connects to."""
    return lambda host, secure: page_gateway(front.config, front.paths, host, secure=secure)


class _Paths:
    """One method per path."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._metrics = Metrics(front)

    def router(self) -> APIRouter:
        key = Depends(HTTPBearer(auto_error=False))  # for the document: the guard has looked
        router = APIRouter(dependencies=[key], responses=error_responses(401, 422, 503))
        stats = "/advanced/websocket-pool/stats"
        _add(router, stats, self.stats, "stats")
        _add(router, stats + "/{account_id}", self.account_stats, "stats", errors=(404,))
        _add(router, "/advanced/rate-limit/stats", self.rate_limit_stats, "stats")
        _add(router, "/advanced/rate-limit/config", self.rate_limit_config, "stats")
        _add(router, "/alerts", self.alerts, "stats")
        _add(router, "/metrics", self.metrics, "stats")
        _add(router, "/events", self.events, "stats")
        _add(router, "/clients", self.clients, "demand")
        _add(router, "/subscriptions", self.subscriptions, "demand")
        _add(router, "/windows", self.windows, "demand")
        _add(router, "/pool/distribution", self.distribution, "pool")
        self._add_changes(router)
        router_open = APIRouter()
        _add(router_open, "/health", self.health, "stats")
        router.include_router(router_open)
        return router

    def _add_changes(self, router: APIRouter) -> None:
        demand, pool = (409, 429), (404, 409, 429)
        _add(router, "/subscriptions", self.subscribe, "demand", "POST", errors=pool)
        _add(router, "/subscriptions", self.unsubscribe, "demand", "DELETE", errors=demand)
        _add(router, "/subscriptions/mode", self.set_mode, "demand", "PUT", errors=demand)
        _add(router, "/pool/plan", self.plan, "pool", "POST", errors=pool)
        _add(router, "/pool/rebalance", self.rebalance, "pool", "POST", errors=pool)
        _add(router, "/pool/scale", self.scale, "pool", "POST", errors=pool)
        _add(router, "/pool/recycle", self.recycle, "pool", "POST", errors=pool)
        _add(router, "/pool/drain", self.drain, "pool", "POST", errors=pool)
        token = "/accounts/{account_id}/token"
        _add(router, token, self.put_token, "pool", "PUT", errors=pool)

    # ---- documents --------------------------------------------------------------------------

    async def stats(self, owner: Owner = None) -> Response:
        """All accounts' pool statistics, or those of one owner's accounts."""
        return self._ask("stats", owner=owner)

    async def account_stats(self, account_id: str) -> Response:
        """One account's pool statistics."""
        return self._ask("stats", account_id)

    async def rate_limit_stats(self) -> Response:
        """How the broker's REST has been called."""
        return self._ask("rate_limit_stats")

    async def rate_limit_config(self) -> Response:
        """The limits of the broker's REST that are kept."""
        return self._ask("rate_limit_config")

    async def alerts(self) -> Response:
        """What a person should know of: open, and resolved."""
        return self._ask("alerts")

    async def clients(self, owner: Owner = None) -> Response:
        """Who wants something."""
        return self._ask("clients", owner=owner)

    async def distribution(self, owner: Owner = None) -> Response:
        """Which instruments each connection is assigned."""
        return self._ask("distribution", owner=owner)

    async def health(self, request: Request) -> Response:
        """The state of the pool; with the token all of it. 503 when no connection is well."""
        document = self._front.health(brief=not request.scope["state"].get("known"))
        return json_answer(document, 503 if document["status"] == "critical" else 200)

    async def metrics(self) -> Response:
        """The figures for Prometheus."""
        body, content_type = self._metrics()
        return Response(body, media_type=content_type)

    async def events(self) -> Response:
        """State changes, gaps and alerts as they happen: server-sent events."""
        listener = self._front.hub.join()
        if listener is None:
            raise HTTPException(503, "Too many listen already")
        return EventStream(self._front.hub, listener)

    # ---- demand -----------------------------------------------------------------------------

    async def subscriptions(
        self,
        after: int = Query(0, ge=0, le=2**32),
        limit: int = Query(1000, ge=1, le=5000),
        client: str | None = Query(None, max_length=64),
        owner: Owner = None,
    ) -> Response:
        """What is wanted, by instrument token; `after` is the last token of the page before."""
        request = Ask(about="subscriptions", after=after, limit=limit, client=client)
        return self._answer(request, owner)

    async def windows(
        self, client: str | None = Query(None, max_length=64), owner: Owner = None
    ) -> Response:
        """The options that follow their underlying: of all clients, or of one."""
        return self._answer(Ask(about="windows", client=client), owner)

    async def subscribe(self, body: SubscribeBody) -> Response:
        """Want more, or the same in another mode; whole, or in part if `partial` is true."""
        return await self._demand(body, _subscribe(body, dry_run=False))

    async def plan(self, body: SubscribeBody) -> Response:
        """Say what subscribing would do, and do nothing."""
        return await self._demand(body, _subscribe(body, dry_run=True))

    async def unsubscribe(self, body: InstrumentsBody) -> Response:
        """Want less; others may go on wanting it."""
        return await self._demand(body, Unsubscribe(instruments=list(body.instruments)))

    async def set_mode(self, body: ModeBody) -> Response:
        """Another mode for what this client wants."""
        request = SetMode(instruments=list(body.instruments), mode=body.mode)
        return await self._demand(body, request)

    # ---- the pool ---------------------------------------------------------------------------

    async def rebalance(self, body: ActBody) -> Response:
        """Move instruments until the connections are balanced."""
        return self._act("rebalance", body)

    async def scale(self, body: ActBody) -> Response:
        """Have at least so many connections."""
        return self._act("scale", body)

    async def recycle(self, body: ActBody) -> Response:
        """Put a new connection in the place of one."""
        return self._act("recycle", body)

    async def drain(self, body: ActBody) -> Response:
        """Take everything off a connection, and close it."""
        return self._act("drain", body)

    async def put_token(self, account_id: str, body: TokenBody) -> Response:
        """Swap an account's access token; its feeds use it at their next connect."""
        config, paths = self._front.config, self._front.paths
        try:
            found = await put_token(config, paths, account_id, Secret(body.access_token))
        except Refused as refused:
            return refusal(refused.problem)
        if not body.rolling:
            return json_answer(found)
        answer = self._front.answer(Act(action="recycle", account=account_id))
        return json_answer(found) if answer.problem is None else refusal(answer.problem)

    # ---- answers ----------------------------------------------------------------------------

    def _ask(self, about: str, account: str | None = None, *, owner: str | None = None) -> Response:
        return self._answer(Ask(about=about, account=account), owner)

    def _act(self, action: str, body: ActBody) -> Response:
        request = Act(
            action=action, connection=body.connection, connections=body.connections,
            account=body.account, dry_run=body.dry_run,
        )  # fmt: skip
        return self._answer(request, body.owner)

    def _answer(self, request: AnyRequest, owner: str | None = None) -> Response:
        answer = self._front.answer(request, owner)
        return json_answer(answer.result) if answer.problem is None else refusal(answer.problem)

    async def _demand(self, body: InstrumentsBody, request: AnyRequest) -> Response:
        await self._front.ready(request)
        answer = self._front.demand(body.client, request, body.owner)
        return json_answer(answer.result) if answer.problem is None else refusal(answer.problem)


def _add(
    router: APIRouter, path: str, handler: Any, tag: str, method: str = "GET",
    *, errors: tuple[int, ...] = (),
) -> None:  # fmt: skip
    """Add a path, with what the document says of its answers."""
    responses = {**GOOD[handler.__name__], **error_responses(*errors)}
    router.add_api_route(
        path, handler, methods=[method], tags=[tag], responses=responses,
        response_class=_KINDS.get(handler.__name__, JSONResponse),
    )  # fmt: skip


def _subscribe(body: SubscribeBody, *, dry_run: bool) -> Subscribe:
    return Subscribe(
        instruments=list(body.instruments), mode=body.mode, partial=body.partial,
        dry_run=dry_run, priority=body.priority, account=body.account,
        connection=body.connection, group=body.group, follow=body.follow,
    )  # fmt: skip


async def _not_valid(request: Request, error: Exception) -> Response:
    """Tell what is wrong with a body, but not what was in it: it may hold a token."""
    assert isinstance(error, RequestValidationError)
    found = [
        f"{'.'.join(str(part)[:40] for part in one['loc'])}: {one['msg']}"
        for one in error.errors()[:20]
    ]
    text = "; ".join(found)
    if is_ours(request.url.path):
        return failure(400, text)
    return json_answer({"detail": text, "code": "bad_request"}, 422)


async def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if is_ours(request.url.path):
        return failure(error.status_code, str(error.detail))
    headers = dict(error.headers) if error.headers else None
    return json_answer({"detail": str(error.detail)}, error.status_code, headers)
