"""Puts the parts of a function together: each once per cold start, and only when a verb first needs it."""

from __future__ import annotations

import os
from functools import cache, cached_property
from typing import TYPE_CHECKING

from relay.config.settings import Settings
from relay.errors import OperatorError, SignatureError, UpstreamError
from relay.runtime.metrics import count_for
from relay.storage.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from relay.internet.fetcher import Fetcher
    from relay.publishing.publisher import Publisher
    from relay.qstash.client import QStash
    from relay.reconciliation.github import GitHub
    from relay.runtime.http_api import Request
    from relay.runtime.secrets import Secrets
    from relay.storage.items import Item
    from relay.verification.secret import Secret

KEYS_KEPT_S = 60
KEYS_TRUSTED_S = 600  # the sweep reads them from QStash every minute
PAUSED_KEPT_S = 10  # a pause, or its end, works this late at most; webhooks in between need no read of the table


class Parts:
    """The parts of one function: its settings, its stores and the services that it calls, made when first used."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._keys: dict[str, str] = {}
        self._keys_read_at: datetime | None = None
        self._qstash: tuple[tuple[str, str | None], QStash] | None = None
        self._github: tuple[str, GitHub] | None = None
        self._paused: tuple[datetime, Mapping[str, Item]] | None = None

    @cached_property
    def store(self) -> Store:
        """The table and the bucket."""
        environment = self.settings.environment
        return Store(environment["RELAY_TABLE"], environment.get("RELAY_BUCKET", ""))

    @cached_property
    def secrets(self) -> Secrets:
        """Secrets Manager."""
        from relay.runtime.secrets import Secrets

        return Secrets()

    @cached_property
    def fetch(self) -> Fetcher:
        """The fetcher of providers' certificates and keys."""
        from relay.internet.fetcher import Fetcher

        return Fetcher()

    def signing_secrets(self, source: str) -> list[Secret]:
        """Return the current signing secrets of *source*; an empty list where none is set yet.

        Raises:
            OperatorError: They can't be read.
        """
        from relay.verification.secret import Secret

        return [Secret(it) for it in self.secrets.signing_secrets(self._sources_secret, source)]

    def refresh_signing_secrets(self) -> bool:
        """Read the signing secrets again, once in 10 s at most; tell whether they changed."""
        return self.secrets.refreshed(self._sources_secret)

    def read_signing_secrets(self) -> None:
        """Read the signing secrets at once: an operator may have set one a second ago."""
        self.secrets.refreshed(self._sources_secret, after_s=0)

    @property
    def _sources_secret(self) -> str:
        return self.settings.environment["RELAY_SOURCES_SECRET"]

    @property
    def qstash(self) -> QStash:
        """QStash, with the current token."""
        from relay.qstash.client import QStash
        from relay.qstash.http import DEFAULT_URL, QStashHttp

        token, url = self.secrets.qstash(self.settings.environment["RELAY_QSTASH_SECRET"])
        if self._qstash is None or self._qstash[0] != (token, url):
            self._qstash = ((token, url), QStash(QStashHttp(token, url or DEFAULT_URL)))
        return self._qstash[1]

    def destination_secret(self, name: str) -> str:
        """Return the secret *name*, which the headers of a destination use.

        Raises:
            OperatorError: It isn't set, or this function may not read it.
            UpstreamError: It can't be read, for now.
        """
        held = self.settings.environment.get("RELAY_DESTINATIONS_SECRET")
        if not held:
            raise OperatorError("the function's environment lacks RELAY_DESTINATIONS_SECRET: deploy it again")
        value = self.secrets.destination_secret(held, name)
        if value is None:
            raise OperatorError(f"the secret {held} has no {name}: run `relay secret set destination:{name}`")
        return value

    @property
    def github(self) -> GitHub | None:
        """GitHub's API, with the current token; None where no token is set yet."""
        from relay.reconciliation.github import DEFAULT_URL, GitHub

        token = self.secrets.github(self.settings.environment["RELAY_GITHUB_SECRET"])
        if token is None:
            return None
        if self._github is None or self._github[0] != token:
            self._github = (token, GitHub(token, self.settings.environment.get("GITHUB_API_URL") or DEFAULT_URL))
        return self._github[1]

    def publisher(self) -> Publisher:
        """A publisher with this function's settings, stores and token."""
        from relay.publishing.publisher import Publisher

        return Publisher(
            self.settings,
            self.store,
            self.qstash,
            self.mac_key,
            paused=self.paused,
            secret=self.destination_secret,
        )

    def paused(self) -> Mapping[str, Item]:
        """Return the destinations that are paused, as they were 10 s ago at most: name -> `by`, `at`, `reason`.

        Raises:
            UpstreamError: The table doesn't answer.
        """
        now = self.store.now()
        if self._paused is None or not 0 <= (now - self._paused[0]).total_seconds() < PAUSED_KEPT_S:
            self._paused = (now, self.store.pauses.all())
        return self._paused[1]

    @property
    def mac_key(self) -> str:
        """The key of callback URLs."""
        if not self._keys.get("mac"):
            self._read_keys()
        if not self._keys.get("mac"):
            raise OperatorError("the table has no keys yet: deploy again, so that sync makes them")
        return self._keys["mac"]

    def _read_keys(self) -> None:
        self._keys = self.store.deployment.keys()
        self._keys_read_at = self.store.now()

    def check_qstash(self, request: Request) -> None:
        """Check that QStash sent *request*.  Where neither key fits, read both again, once a minute at most.

        Raises:
            SignatureError: QStash didn't send it.
        """
        try:
            self._verify(request)
        except SignatureError:
            if self._has_fresh_keys():
                raise
            self._read_keys()
            self._verify(request)

    def _has_fresh_keys(self) -> bool:
        read_at = self._keys_read_at
        return read_at is not None and (self.store.now() - read_at).total_seconds() < KEYS_KEPT_S

    def _verify(self, request: Request) -> None:
        from relay.qstash.signature import SigningKeys, verify_qstash

        verify_qstash(
            request.headers.get("upstash-signature"),
            body=request.body,
            urls=request.urls(self.settings.base_urls),
            keys=SigningKeys(*self._signing_keys()),
        )

    def _signing_keys(self) -> tuple[str, str]:
        """Return QStash's keys, read `KEYS_TRUSTED_S` ago at most: one that was rolled away works no longer."""
        read_at, now = self._keys_read_at, self.store.now()
        if read_at is None or not self._keys.get("current") or (now - read_at).total_seconds() >= KEYS_TRUSTED_S:
            try:
                self._read_keys()
            except UpstreamError:  # the keys from before stay in use
                if not self._keys.get("current"):
                    raise
        if not self._keys.get("current"):
            raise OperatorError("the table has no signing keys yet: deploy again, so that sync reads them")
        return self._keys["current"], self._keys["next"]

    def qstash_secrets(self) -> list[Secret]:
        """Return QStash's signing keys as the signing secrets of a schedule.

        Raises:
            OperatorError: The table has none yet.
        """
        from relay.verification.secret import Secret

        return [Secret(it) for it in self._signing_keys()]

    def refresh_qstash_secrets(self) -> bool:
        """Read QStash's signing keys again, once a minute at most; tell whether they changed."""
        if self._has_fresh_keys():
            return False
        before = self._keys
        self._read_keys()
        return self._keys != before


@cache
def relay(*needs: str) -> Parts:
    """Return the parts of this function, made once.

    Args:
        needs: The environment variables that the function can't do without.

    Raises:
        OperatorError: Some are missing; the message names all of them.
    """
    parts = Parts(Settings.load(os.environ, ("RELAY_TABLE", "RELAY_BASE_URLS", *needs)))
    count_for(parts.settings.name)
    return parts
