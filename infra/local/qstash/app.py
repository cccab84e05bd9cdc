"""The server as an ASGI application: who may call, how often, what goes wrong, and what an error looks like."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import Match, Route

from .api.admin import Admin
from .api.call import Call, answer, as_json
from .api.routes import ROUTES, manages
from .broker import schedules
from .broker.clock import Clock
from .broker.engine import Engine
from .broker.hosts import answering_test_hosts
from .broker.state import Settings, User, documented_users
from .broker.views import shaped
from .broker.web import Web
from .language.grammar import Refused, rate_limited

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from .api.call import Verb
    from .broker.faults import Fault
    from .broker.messages import Answer, Outgoing
    from .broker.state import Credentials


def app(
    *,
    users: Sequence[Credentials] | None = None,
    clock: Clock | None = None,
    settings: Settings | None = None,
    send: Callable[[Outgoing], Awaitable[Answer]] | None = None,
    test_hosts: bool = False,
    admin_token: str = "",
) -> Starlette:
    """Return the server as an ASGI application; its lifespan's end drops whatever is pending.

    Args:
        users: Who may call; the four documented users by default.
        clock: Where time comes from; the machine's by default.
        settings: Limits, windows and sizes.
        send: How a request reaches a destination; over the network by default.
        test_hosts: Answer well-known public test hosts here instead of calling them.
        admin_token: Opens the admin API; empty: there is none.
    """
    clock, settings = clock or Clock(), settings or Settings()
    web = Web(settings)
    send = send or web
    accounts = [User(credentials, settings) for credentials in users or documented_users({})]
    engine = Engine(clock, settings, answering_test_hosts(send, clock) if test_hosts else send, accounts)
    by_token = {account.token: account for account in accounts}

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await engine.close()
            await web.close()

    routes = [Route(path, _endpoint(verb, by_token, engine), methods=[method]) for method, path, verb in ROUTES]
    application = Starlette(
        routes=[*routes, *(Admin(engine, accounts, admin_token).routes() if admin_token else ())],
        middleware=[Middleware(_RawPaths)],
        lifespan=lifespan,
        exception_handlers={Refused: _refused, HTTPException: _no_such_route},
    )
    # The tail of a publish may end in a slash or hold two; no redirect may touch it.
    application.router.redirect_slashes = False
    application.state.users = accounts  # for tests that look behind the API
    return application


_NOUNS = {noun.lower(): noun for noun in (path.split("/")[2] for _, path, _ in ROUTES)}


class _RawPaths:
    """Lets routes match the path as it is on the wire, so that a destination in it stays as it is."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            parts = scope["raw_path"].decode("latin-1").split("/", 3)
            parts[2:3] = [_NOUNS.get(part.lower(), part) for part in parts[2:3]]  # the Go client says /v2/Schedules
            if parts[2:] in (["queues", ""], ["flowControl", ""]):
                parts.pop()
            scope["path"] = "/".join(parts)
        await self._inner(scope, receive, send)


def _endpoint(verb: Verb, by_token: dict[str, User], engine: Engine) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        if not engine.up:
            return await _drop(request)
        user = _authenticated(request, by_token)
        _limit_rate(request, user, engine)
        user.forget(engine.clock.now())
        body, limit = bytearray(), engine.settings.limits.request_bytes
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise Refused(413, f"request too large, current limit: {limit}")
        call = Call(user, engine, request, bytes(body))
        fault = engine.faults.of_call(request.method, request.url.path)
        return verb(call) if fault is None else await _gone_wrong(fault, verb, call)

    return endpoint


def _authenticated(request: Request, by_token: dict[str, User]) -> User:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        token = request.query_params.get("qstash_token", "")
    if user := by_token.get(token.strip()):
        return user
    reader = next((user for user in by_token.values() if user.read_only_token == token.strip()), None)
    if reader is None:
        raise Refused(401, "unable to authenticate: invalid token")
    if request.method != "GET":
        raise Refused(403, f"the read-only token cannot {request.method}")
    return reader


def _limit_rate(request: Request, user: User, engine: Engine) -> None:
    limit, second = engine.settings.limits.calls_per_s, int(engine.clock.now())
    if manages(request.url.path) and not user.spend("calls", 1, limit, second):
        raise rate_limited("burst", limit, second + 1)


async def _gone_wrong(fault: Fault, verb: Verb, call: Call) -> Response:
    """Answer, or don't, as the fault has it."""
    limits = call.engine.settings.limits
    match fault.do:
        case "answer" if fault.quota:
            limit = (limits.messages_per_day or 1_000) if fault.quota == "daily" else (limits.calls_per_s or 100)
            raise rate_limited(fault.quota, limit, int(call.now_s + fault.seconds))
        case "answer":
            raise Refused(fault.status, f"fault on command: {fault.status}")
        case "rotate":
            call.user.rotate()
            return verb(call)
        case "bodiless":
            return verb(replace(call, body=b""))
        case "revert":
            before = schedules.copied(call.user)
            response = verb(call)
            call.engine.clock.call_later(fault.seconds, schedules.undoing(call.engine, call.user, before))
            return response
        case "sparse" | "null" | "lagless":
            response = verb(call)
            return as_json(shaped(getattr(response, "value", None), fault.do), response.status_code)
        case "void":
            verb(call)
            await call.engine.clock.sleep(fault.seconds)
        case "hang":
            await call.engine.clock.sleep(fault.seconds)
        case "down":
            call.engine.go_down(fault.seconds)
    return await _drop(call.request)


async def _drop(request: Request) -> Response:
    """End the connection without an answer."""
    abort = request.scope.get("extensions", {}).get("abort")
    if abort is None:  # a server that has no connections
        raise ConnectionResetError("dropped on command")
    abort()
    await asyncio.sleep(0)  # until the server has noticed, so that it doesn't answer
    return Response()


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)  # noqa: S101 - registered for this class
    response = answer({"error": error.text}, error.status)
    response.headers.update(error.headers or {})
    return response


async def _no_such_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    response = answer({"error": f"{request.method} {request.url.path}: {error.detail}"}, error.status_code)
    if error.status_code == 405:
        matching = (it for it in request.app.routes if it.matches(request.scope)[0] != Match.NONE)
        response.headers["Allow"] = ", ".join(sorted({method for it in matching for method in it.methods}))
    return response
