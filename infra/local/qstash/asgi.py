"""The server as an ASGI application: who may call, and what an error looks like."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route

from .call import Call, answer
from .engine import Engine
from .grammar import Refused
from .hosts import test_hosts as hosts_answered_here
from .routes import ROUTES
from .state import Clock, RealClock, Settings, User, documented_users

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    import httpx
    from starlette.requests import Request
    from starlette.responses import Response


def app(
    *,
    users: Sequence[User] | None = None,
    clock: Clock | None = None,
    settings: Settings | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    test_hosts: bool = False,
) -> Starlette:
    """Return the server as an ASGI application; its lifespan's end drops whatever is pending.

    Args:
        users: Who may call; the four documented users by default.
        clock: Where time comes from; the machine's by default.
        settings: Limits, windows and sizes.
        transport: What deliveries go through; the network by default.
        test_hosts: Answer well-known public test hosts here instead of calling them.
    """
    clock = clock or RealClock()
    mounts = hosts_answered_here(clock) if test_hosts else None
    engine = Engine(clock=clock, settings=settings or Settings(), transport=transport, mounts=mounts)
    by_token = {user.token: user for user in users or documented_users({})}

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await engine.close()

    def route(path: str, method: str, verb: Callable[[Call], Response]) -> Route:
        return Route(path, _endpoint(verb, by_token, engine), methods=[method])

    application = Starlette(
        routes=[route(path, method, verb) for path, method, verb in ROUTES],
        lifespan=lifespan,
        exception_handlers={Refused: _refused, HTTPException: _no_such_route},
    )
    # The tail of a publish may end in a slash or hold two; no redirect may touch it.
    application.router.redirect_slashes = False
    return application


def _endpoint(
    verb: Callable[[Call], Response], by_token: dict[str, User], engine: Engine
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            token = request.query_params.get("qstash_token", "")
        user = by_token.get(token.strip())
        if user is None:
            raise Refused(401, "unable to authenticate: invalid token")
        body, limit = bytearray(), engine.settings.limits.request_bytes
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise Refused(413, f"request too large, current limit: {limit}")
        return verb(Call(user, engine, request, bytes(body)))

    return endpoint


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)  # noqa: S101 - registered for this class
    return answer({"error": error.text}, error.status)


async def _no_such_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    return answer({"error": f"{request.method} {request.url.path}: {error.detail}"}, error.status_code)
