"""A relay whose source names GitHub's hooks, over the real store, and GitHub at the wire."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx

from relay.config.settings import Settings
from relay.model.ids import event_id
from relay.query import answers
from relay.reconciliation.github import GitHub
from relay.reconciliation.reconcile import Reconciled, reconcile
from tests.github_api import HOOK, TOKEN, GitHubApi, Hook
from tests.unit.relay.world import BASE, FLAT, SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.relay.world import World

ORG = "orgs/octo-org/hooks/7"
OTHERS = "https://old.example.com/github"
MINUTE = timedelta(minutes=1)
RUNS_EVERY = timedelta(minutes=15)
LIMITED = {"x-ratelimit-remaining": "0"}


class Reconciling:
    """A relay whose source github names hooks, and GitHub, whose hook posts to it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.api = GitHubApi(clock=lambda: world.clock.at)
        self.up = True
        self.refusing = 0
        self.hook = self.add_hook(HOOK)
        self.configure(HOOK)

    def add_hook(self, name: str, url: str = f"{BASE}/webhooks/github") -> Hook:
        self.api.hooks[name] = Hook(url, SECRET, self.post)
        return self.api.hooks[name]

    def configure(self, *hooks: str, retention_days: int = 30) -> None:
        source = FLAT["sources"]["github"] | {"reconcile": list(hooks)}
        flat = FLAT | {"sources": {"github": source}, "retention_days": retention_days}
        self.world.settings = Settings.of({"RELAY_BASE_URLS": BASE}, flat)

    def post(self, url: str, headers: dict[str, str], body: bytes) -> int:
        if url == OTHERS:
            return 200
        if self.refusing:
            return self.refusing
        if not self.up:
            return 0
        kind = {"x-github-event": headers["x-github-event"]}
        return 200 if self.world.post(body, headers["x-github-delivery"], kind).duplicate else 202

    def lose(self, count: int = 1, **how: Any) -> list[str]:
        """Have events sent that never come; return their guids."""
        return [self.api.send(**{"status": 0, **how}).guid for _ in range(count)]

    def run(
        self, after: timedelta = RUNS_EVERY, seconds: Iterator[float] | None = None, token: str = TOKEN
    ) -> Reconciled:
        self.world.clock.at += after
        return reconcile(
            self.world.settings,
            store=self.world.store,
            github=GitHub(token, transport=httpx.MockTransport(self.api)),
            owner=self.world.clock.at.isoformat(),
            seconds_left=lambda: next(seconds, 0) if seconds else 60,
        )

    def shown(self, guid: str) -> dict[str, Any]:
        return answers.show_event(self.world.store, event_id("github", guid), with_body=False)

    def has(self, guid: str) -> bool:
        return self.world.store.event(event_id("github", guid)) is not None
