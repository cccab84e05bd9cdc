"""Secrets Manager: reads the relay's secrets, each at most once a minute, so that a change works without a deploy.

Hides when a secret is read.  A value is good for a minute.  It is used for longer where Secrets Manager doesn't answer,
or where the new value can't be read: a webhook that passed a minute ago isn't refused for that.  A secret that is
deleted, or marked for deletion, counts as missing.

Powertools' SecretsProvider would not do: it raises where a refresh fails, and doesn't note when it last tried to read.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

from relay.errors import OperatorError, RelayError, UpstreamError
from relay.runtime import aws

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KEPT_S = 60
TRIED_AGAIN_S = 5  # after a read that failed
REFRESHED_S = 10  # for a signature that fits none: the most that a stranger can cause


@dataclass(frozen=True)
class _Kept:
    """The value of a secret, and by the clock when it was read, and when the latest try to read it ended."""

    value: Mapping[str, Any]
    read_at: float
    tried_at: float


class Secrets:
    """The relay's secrets by name.

    Attributes:
        trouble: Why the latest read failed, for the log; None once one succeeds.
    """

    def __init__(self, client: Any = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.trouble: RelayError | None = None
        self._client = client
        self._clock = clock
        self._kept: dict[str, _Kept] = {}

    def read(self, name: str) -> Mapping[str, Any]:
        """Return the JSON object in the secret *name*; {} where there is no such secret.

        Raises:
            OperatorError: It holds something else, and no earlier value is known.
            UpstreamError: It can't be read, and no earlier value is known.
        """
        kept = self._kept.get(name)
        if kept is not None:
            now = self._clock()
            if now - kept.read_at < KEPT_S or now - kept.tried_at < TRIED_AGAIN_S:
                return kept.value
        return self._read_now(name)

    def refreshed(self, name: str, *, after_s: float = REFRESHED_S) -> bool:
        """Read the secret *name* again, unless a read was tried just before; tell whether it changed.

        For a signature that fits none of the known secrets: the source may have a newer one.

        Args:
            after_s: How many seconds ago the latest read must have ended: a stranger mustn't cause a call each time.

        Raises:
            OperatorError, UpstreamError: As `read`.
        """
        kept = self._kept.get(name)
        if kept is not None and self._clock() - kept.tried_at < after_s:
            return False
        return self._read_now(name) != (kept.value if kept else {})

    def signing_secrets(self, name: str, source: str) -> list[str]:
        """Return the current signing secrets of *source* from the secret *name*, newest first, as they are stored.

        A secret of several parts is the text of a JSON object.

        Raises:
            OperatorError: They can't be read.
        """
        try:
            values = _values(self.read(name), source)
            if not values and self.refreshed(name):
                values = _values(self.read(name), source)
        except UpstreamError as error:
            raise OperatorError("the signing secrets can't be read") from error
        return values

    def qstash(self, name: str) -> tuple[str, str | None]:
        """Return QStash's token and, where one is set, its URL from the secret *name*.

        Raises:
            OperatorError: There is none.
        """
        value = self.read(name)
        if not value.get("token"):
            raise OperatorError(f"the secret {name} has no token: run `relay secret set qstash`")
        return value["token"], value.get("url")

    def github(self, name: str) -> str | None:
        """Return the token for GitHub's API from the secret *name*; None where there is none yet.

        Raises:
            OperatorError, UpstreamError: As `read`.
        """
        token = self.read(name).get("token")
        return token if isinstance(token, str) and token else None

    def destination_secret(self, name: str, wanted: str) -> str | None:
        """Return the entry *wanted* of the secret *name*, for the headers of a destination; None where it has none.

        Raises:
            OperatorError, UpstreamError: As `read`.
        """
        value = self.read(name).get(wanted)
        if not _is_text(value) and self.refreshed(name):
            value = self.read(name).get(wanted)
        return value if _is_text(value) else None

    def _read_now(self, name: str) -> Mapping[str, Any]:
        """Read the secret *name* and return its value; where the read fails, the value from before."""
        kept = self._kept.get(name)
        try:
            value = self._fetch(name)
        except RelayError as error:
            self.trouble = error
            if kept is None:
                raise
            self._kept[name] = _Kept(kept.value, kept.read_at, tried_at=self._clock())
            return kept.value
        now = self._clock()
        self.trouble = None
        self._kept[name] = _Kept(value, read_at=now, tried_at=now)
        return value

    def _fetch(self, name: str) -> dict[str, Any]:
        client = self._client or aws.client("secretsmanager")
        gone = (client.exceptions.ResourceNotFoundException, client.exceptions.InvalidRequestException)
        with aws.speaking_to("Secrets Manager"):
            try:
                text = client.get_secret_value(SecretId=name).get("SecretString", "")
            except gone:  # the second: the secret waits for its deletion
                return {}
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise OperatorError(f"the secret {name} is not JSON: set it again with `relay secret set`") from None
        if not isinstance(value, dict):
            raise OperatorError(f"the secret {name} is no JSON object: set it again with `relay secret set`")
        return value


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and value != ""


def _values(held: Mapping[str, Any], source: str) -> list[str]:
    """Return the signing secrets of *source* in *held*; entries of another shape are left out."""
    entries = held.get(source)
    values = [it.get("value") for it in entries if isinstance(it, dict)] if isinstance(entries, list) else []
    return [it for it in values if isinstance(it, str) and it]
