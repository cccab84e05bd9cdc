"""QStash's HTTP API over the state and the engine: who may call, what a call carries, what it gets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from . import selection
from .engine import Engine
from .grammar import Refused, destination_url, name
from .hosts import test_hosts as hosts_answered_here
from .options import Headers, read_options, split_target
from .publish import Publication, Published, commit, plan
from .state import Clock, DeadLetter, Group, RealClock, Settings, User, documented_users
from .views import dead_letter_view, group_view, log_view, message_view

if TYPE_CHECKING:
    import httpx
    from starlette.requests import Request

PUBLISH = "/v2/publish/"
_MAX_PAGE = 100
_MAX_CANCELED = 500
_MAX_LOG_PAGE = 1_000


@dataclass(frozen=True)
class Call:
    """One authenticated request, its body read."""

    user: User
    engine: Engine
    request: Request
    body: bytes

    @property
    def now_s(self) -> float:
        return self.engine.clock.now()

    @property
    def query(self) -> str:
        return str(self.request.scope["query_string"].decode("latin-1"))

    @property
    def params(self) -> dict[str, list[str]]:
        return parse_qs(self.query, keep_blank_values=True, max_num_fields=10_000)

    def path(self, part: str) -> str:
        """Return a part of the path."""
        return str(self.request.path_params[part])

    @property
    def headers(self) -> dict[str, list[str]]:
        headers: dict[str, list[str]] = {}
        for key, value in self.request.scope["headers"]:
            headers.setdefault(key.decode("latin-1").lower(), []).append(
                value.decode("utf-8", "surrogateescape")
            )
        return headers

    def json(self) -> Any:
        """Return the body as JSON, or refuse it."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise Refused(400, "the body is not JSON") from error

    def json_object(self) -> dict[str, Any]:
        """Return the body as a JSON object, or refuse it."""
        value = self.json()
        if not isinstance(value, dict):
            raise Refused(400, "the body is not a JSON object")
        return value

    def selection_params(self) -> dict[str, list[str]]:
        """Return filters from the query and, as the Python SDK sends them, from the body."""
        return self.params | (selection.from_json(self.json_object()) if self.body.strip() else {})

    def plan(self, destination: str, headers: Headers, body: bytes) -> Publication:
        """Return what a publish of this user, at this time, would send."""
        caller_ip = self.request.client.host if self.request.client else ""
        return plan(
            self.user,
            destination=destination,
            headers=headers,
            body=body,
            caller_ip=caller_ip,
            now_s=self.now_s,
            settings=self.engine.settings,
        )


Verb = Callable[[Call], Response]


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

    def route(path: str, method: str, verb: Verb) -> Route:
        return Route(path, _endpoint(verb, by_token, engine), methods=[method])

    application = Starlette(
        routes=[route(path, method, verb) for path, method, verb in _ROUTES],
        lifespan=lifespan,
        exception_handlers={Refused: _refused, HTTPException: _no_such_route},
    )
    # The tail of a publish may end in a slash or hold two; no redirect may touch it.
    application.router.redirect_slashes = False
    return application


def _endpoint(
    verb: Verb, by_token: dict[str, User], engine: Engine
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            token = request.query_params.get("qstash_token", "")
        user = by_token.get(token.strip())
        if user is None:
            raise Refused(401, "unable to authenticate: invalid token")
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > engine.settings.limits.request_bytes:
                raise Refused(
                    413, f"request too large, current limit: {engine.settings.limits.request_bytes}"
                )
        return verb(Call(user, engine, request, bytes(body)))

    return endpoint


def _json(value: object, status: int = 200) -> Response:
    # Escaped to ASCII: a lone surrogate that came in by JSON must not break the answer.
    return Response(json.dumps(value, separators=(",", ":")), status, media_type="application/json")


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)  # noqa: S101 - registered for this class
    return _json({"error": error.text}, error.status)


async def _no_such_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    return _json({"error": f"{request.method} {request.url.path}: {error.detail}"}, error.status_code)


def publish(call: Call) -> Response:
    tail = call.request.scope["raw_path"].decode("latin-1").removeprefix(PUBLISH)
    destination, settings = split_target(tail, call.query)
    publication = call.plan(destination, settings | call.headers, call.body)
    return _published(commit(call.engine, call.user, publication))


def _published(published: Published) -> Response:
    return _json(published.value, 202 if published.duplicate else 200)


def batch(call: Call) -> Response:
    items = call.json()
    if not isinstance(items, list):
        raise Refused(400, "the body is not a JSON array")
    planned = [_batch_item(call, item) for item in items]
    return _json([commit(call.engine, call.user, publication).value for publication in planned])


def _batch_item(call: Call, item: object) -> Publication:
    if not isinstance(item, dict):
        raise Refused(400, "an item of the batch is not a JSON object")
    headers, body, destination = item.get("headers") or {}, item.get("body"), item.get("destination") or ""
    if item.get("queue"):
        raise Refused(400, "queue is not supported by this server")
    if not isinstance(destination, str) or not isinstance(body, str | None) or not isinstance(headers, dict):
        raise Refused(
            400, "an item of the batch needs a destination, and may have string headers and a string body"
        )
    return call.plan(destination, _lowered(headers), (body or "").encode("utf-8", "replace"))


def _lowered(headers: dict[str, Any]) -> dict[str, list[str]]:
    """Return headers that came as a JSON object; a value may be a string or an array of strings."""
    return {key.lower(): value if isinstance(value, list) else [value] for key, value in headers.items()}


def get_keys(call: Call) -> Response:
    return _json({"current": call.user.current_key, "next": call.user.next_key})


def rotate_keys(call: Call) -> Response:
    call.user.rotate()
    return get_keys(call)


def get_message(call: Call) -> Response:
    message = call.user.find(call.path("id"), call.now_s)
    if message is None:
        raise Refused(404, f"message {call.path('id')} not found")
    return _json(message_view(message))


def cancel_message(call: Call) -> Response:
    message = call.user.messages.get(call.path("id"))
    if message is None:
        raise Refused(404, f"message {call.path('id')} not found")
    call.engine.cancel(call.user, message)
    return _json({"cancelled": 1})


def cancel_messages(call: Call) -> Response:
    wanted = selection.read_selection(call.selection_params(), selection.MESSAGE_FILTERS, most=_MAX_CANCELED)
    chosen = wanted.messages(call.user.messages.values())
    for message in chosen:
        call.engine.cancel(call.user, message)
    return _json({"cancelled": len(chosen)})


def list_groups(call: Call) -> Response:
    return _json([group_view(group) for group in call.user.groups.values()])


def get_group(call: Call) -> Response:
    return _json(group_view(_group(call)))


def _group(call: Call) -> Group:
    group = call.user.groups.get(call.path("name"))
    if group is None:
        raise Refused(404, f"topic {call.path('name')} not found")
    return group


def _endpoints(call: Call) -> list[tuple[str | None, str | None]]:
    endpoints = call.json_object().get("endpoints")
    if not isinstance(endpoints, list) or not endpoints:
        raise Refused(400, "endpoints must be an array that is not empty")
    checked: list[tuple[str | None, str | None]] = []
    for endpoint in endpoints:
        if not isinstance(endpoint, dict) or not (endpoint.get("url") or endpoint.get("name")):
            raise Refused(400, "an endpoint needs a url, a name or both")
        url = destination_url(endpoint["url"], "endpoint url") if endpoint.get("url") else None
        checked.append((url, name(endpoint["name"], "endpoint name") if endpoint.get("name") else None))
    return checked


def put_endpoints(call: Call) -> Response:
    group_name, now_ms = name(call.path("name"), "topic name"), int(call.now_s * 1000)
    old = call.user.groups.get(group_name)
    limits = call.engine.settings.limits
    if old is None and len(call.user.groups) >= limits.groups:
        raise Refused(412, f"quota maxTopics exceeded, current limit: {limits.groups}")
    group = Group(group_name, old.created_ms if old else now_ms, now_ms)
    if old:
        group.endpoints, group.headers = list(old.endpoints), old.headers
    for url, endpoint_name in _endpoints(call):
        if url is None:
            raise Refused(400, "an endpoint needs a url")
        group.put(url, endpoint_name)
    if len(group.endpoints) > limits.endpoints:
        raise Refused(412, f"quota maxEndpointsPerTopic exceeded, current limit: {limits.endpoints}")
    call.user.groups[group_name] = group
    return _json({})


def remove_endpoints(call: Call) -> Response:
    group = _group(call)
    for url, endpoint_name in _endpoints(call):
        group.remove(url, endpoint_name)
    group.updated_ms = int(call.now_s * 1000)
    if not group.endpoints:
        del call.user.groups[group.name]
    return _json({})


def patch_group(call: Call) -> Response:
    group, headers = _group(call), call.json_object().get("headers")
    if not isinstance(headers, dict):
        raise Refused(400, "headers must be a JSON object")
    lowered = _lowered(headers)
    read_options(lowered, call.engine.settings.limits)
    group.headers, group.updated_ms = lowered, int(call.now_s * 1000)
    return _json({})


def delete_group(call: Call) -> Response:
    call.user.groups.pop(call.path("name"), None)
    return _json({})


def _chosen_dead_letters(call: Call) -> tuple[list[DeadLetter], dict[str, str]]:
    wanted = selection.read_selection(call.selection_params(), selection.DEAD_LETTER_FILTERS, most=_MAX_PAGE)
    return wanted.dead_letters(call.user.dead_letters.values())


def _dead_letter(call: Call) -> DeadLetter:
    dead_letter = call.user.dead_letters.get(call.path("id"))
    if dead_letter is None:
        raise Refused(404, f"dlq message {call.path('id')} not found")
    return dead_letter


def list_dead_letters(call: Call) -> Response:
    chosen, cursor = _chosen_dead_letters(call)
    return _json({"messages": [dead_letter_view(one) for one in chosen], **cursor})


def get_dead_letter(call: Call) -> Response:
    return _json(dead_letter_view(_dead_letter(call)))


def delete_dead_letter(call: Call) -> Response:
    del call.user.dead_letters[_dead_letter(call).id]
    return _json({})


def delete_dead_letters(call: Call) -> Response:
    chosen, cursor = _chosen_dead_letters(call)
    for dead_letter in chosen:
        del call.user.dead_letters[dead_letter.id]
    return _json({"deleted": len(chosen), **cursor})


def _overrides(call: Call) -> dict[str, list[str]]:
    return {key: values for key, values in call.headers.items() if key.startswith("upstash-")}


def retry_dead_letter(call: Call) -> Response:
    message = call.engine.revive(call.user, _dead_letter(call), _overrides(call))
    return _json({"messageId": message.id}, 201)


def retry_dead_letters(call: Call) -> Response:
    chosen, cursor = _chosen_dead_letters(call)
    overrides = _overrides(call)
    read_options(overrides, call.engine.settings.limits)  # refused as a whole, or not at all
    revived = [call.engine.revive(call.user, dead_letter, overrides) for dead_letter in chosen]
    return _json({"responses": [{"messageId": message.id} for message in revived], **cursor}, 201)


def list_log(call: Call) -> Response:
    wanted = selection.read_selection(
        call.params, selection.LOG_FILTERS, most=_MAX_LOG_PAGE, latest_first=True
    )
    chosen, cursor = wanted.log(call.user.log)
    rows = [log_view(row) for row in chosen]
    return _json({"events": rows, "logs": rows, **cursor})


_ROUTES: tuple[tuple[str, str, Verb], ...] = (
    (PUBLISH + "{destination:path}", "POST", publish),
    ("/v2/batch", "POST", batch),
    ("/v2/keys", "GET", get_keys),
    ("/v2/keys/rotate", "POST", rotate_keys),
    ("/v2/messages/{id}", "GET", get_message),
    ("/v2/messages/{id}", "DELETE", cancel_message),
    ("/v2/messages", "DELETE", cancel_messages),
    ("/v2/topics", "GET", list_groups),
    ("/v2/topics/{name}", "GET", get_group),
    ("/v2/topics/{name}", "PATCH", patch_group),
    ("/v2/topics/{name}", "DELETE", delete_group),
    ("/v2/topics/{name}/endpoints", "POST", put_endpoints),
    ("/v2/topics/{name}/endpoints", "DELETE", remove_endpoints),
    ("/v2/dlq", "GET", list_dead_letters),
    ("/v2/dlq", "DELETE", delete_dead_letters),
    ("/v2/dlq/retry", "POST", retry_dead_letters),
    ("/v2/dlq/retry/{id}", "POST", retry_dead_letter),
    ("/v2/dlq/{id}", "GET", get_dead_letter),
    ("/v2/dlq/{id}", "DELETE", delete_dead_letter),
    ("/v2/events", "GET", list_log),
    ("/v2/logs", "GET", list_log),
)
