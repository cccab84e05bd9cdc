"""The admin API: faults, time and windows, for whoever tests against the server.

It is there only if a token for it was given, and that token opens nothing else.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.routing import Route

from ..broker.faults import Fault
from ..language.grammar import Refused
from .call import as_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from starlette.requests import Request
    from starlette.responses import Response

    from ..broker.engine import Engine
    from ..broker.state import User

_MAX_ADVANCE_S = 400 * 86_400


class Changes(BaseModel):
    """What may be changed while the server runs; the fields of `state.Settings`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    deduplication_window_s: float = Field(600, ge=0)
    deduplication_scope: Literal["account", "destination"] = "account"
    cancel_count_ignored: bool = False
    batch_refused: Literal["whole", "by_item"] = "whole"
    url_groups: int | None = Field(None, ge=0)
    unresolvable_hosts: list[str] = []
    log_lag_s: float = Field(0, ge=0)
    log_rows: int | None = Field(None, ge=0)
    grace_s: float = Field(10, ge=0)


class Advance(BaseModel):
    """How far to put the clock forward."""

    model_config = ConfigDict(extra="forbid", strict=True)

    advance_s: float = Field(ge=0, le=_MAX_ADVANCE_S)


class Outage(BaseModel):
    """How long to be down; without it, until told otherwise."""

    model_config = ConfigDict(extra="forbid", strict=True)

    seconds: float | None = Field(None, ge=0, le=_MAX_ADVANCE_S)


class Parallelism(BaseModel):
    """How many attempts of an account may be under way at a time."""

    model_config = ConfigDict(extra="forbid", strict=True)

    places: int = Field(ge=1)


class Admin:
    """A verb for every route."""

    def __init__(self, engine: Engine, users: Collection[User], token: str) -> None:
        self._engine, self._users, self._token = engine, users, token

    def routes(self) -> list[Route]:
        """Return the routes, each behind the token."""
        verbs: dict[tuple[str, str], Callable[[Request], Awaitable[object]]] = {
            ("GET", "/admin/rules"): self._rules,
            ("POST", "/admin/rules"): self._add_rules,
            ("DELETE", "/admin/rules"): self._drop_rules,
            ("DELETE", "/admin/rules/{id}"): self._drop_rules,
            ("GET", "/admin/settings"): self._settings,
            ("PATCH", "/admin/settings"): self._change_settings,
            ("POST", "/admin/clock"): self._advance,
            ("POST", "/admin/parallelism"): self._limit_parallelism,
            ("POST", "/admin/down"): self._down,
            ("POST", "/admin/up"): self._up,
            ("GET", "/admin/status"): self._status,
        }
        return [Route(path, self._guarded(verb), methods=[method]) for (method, path), verb in verbs.items()]

    def _guarded(self, verb: Callable[[Request], Awaitable[object]]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            if request.headers.get("authorization") != f"Bearer {self._token}":
                raise Refused(401, "unable to authenticate: the admin API has a token of its own")
            try:
                return as_json(await verb(request))
            except ValidationError as error:
                found = error.errors(include_url=False, include_context=False)[0]
                where = ".".join(str(part) for part in found["loc"])
                raise Refused(400, f"{where or 'body'}: {found['msg'].removeprefix('Value error, ')}") from error

        return endpoint

    async def _rules(self, _: Request) -> object:
        return {"rules": [{"id": number, **rule.view()} for number, rule in self._engine.faults.rules.items()]}

    async def _add_rules(self, request: Request) -> object:
        body = (await request.body()).strip()
        rules = TypeAdapter(list[Fault]).validate_json(body if body.startswith(b"[") else b"[%b]" % body)
        return {"ids": [self._engine.faults.add(rule) for rule in rules]}

    async def _drop_rules(self, request: Request) -> object:
        rules, wanted = self._engine.faults.rules, request.path_params.get("id")
        if wanted is not None and wanted not in rules:
            raise Refused(404, f"rule {wanted} not found")
        dropped = [wanted] if wanted else list(rules)
        for number in dropped:
            del rules[number]
        return {"dropped": len(dropped)}

    async def _settings(self, _: Request) -> object:
        return {name: getattr(self._engine.settings, name) for name in Changes.model_fields}

    async def _change_settings(self, request: Request) -> object:
        changes = Changes.model_validate_json(await request.body())
        for name in changes.model_fields_set:
            setattr(self._engine.settings, name, getattr(changes, name))
        return await self._settings(request)

    async def _advance(self, request: Request) -> object:
        advance = Advance.model_validate_json(await request.body())
        await self._engine.clock.advance(advance.advance_s, self._engine.settle)
        return await self._status(request)

    async def _limit_parallelism(self, request: Request) -> object:
        places = Parallelism.model_validate_json(await request.body()).places
        for user in self._users:
            user.line.places = places
            user.line.serve()
        return await self._status(request)

    async def _down(self, request: Request) -> object:
        self._engine.go_down(Outage.model_validate_json(await request.body() or b"{}").seconds)
        return await self._status(request)

    async def _up(self, request: Request) -> object:
        self._engine.come_up()
        return await self._status(request)

    async def _status(self, _: Request) -> object:
        return {
            "now_ms": int(self._engine.clock.now() * 1000),
            "up": self._engine.up,
            "messages": sum(len(user.messages) for user in self._users),
            "under_way": self._engine.under_way,
            "limits": dataclasses.asdict(self._engine.settings.limits),
        }
