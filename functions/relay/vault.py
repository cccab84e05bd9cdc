"""Secrets Manager: reads the relay's secrets, each at most once a minute, so that a change works without a deploy."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from relay import aws
from relay.errors import OperatorError, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT_S = 60


class Vault:
    """The relay's secrets by name."""

    def __init__(self, client: Any = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._kept: dict[str, tuple[float, dict[str, Any]]] = {}

    def read(self, name: str) -> dict[str, Any]:
        """Return the JSON object in the secret *name*; {} where there is no such secret."""
        read_at, value = self._kept.get(name, (float("-inf"), {}))
        if self._clock() - read_at < KEPT_S:
            return value
        value = self._read(name)
        self._kept[name] = (self._clock(), value)
        return value

    def _read(self, name: str) -> dict[str, Any]:
        client = self._client or aws.client("secretsmanager")
        with aws.speaking_to("Secrets Manager"):
            try:
                text = client.get_secret_value(SecretId=name)["SecretString"]
            except client.exceptions.ResourceNotFoundException:
                return {}
        try:
            value = json.loads(text)
        except ValueError:
            raise OperatorError(f"the secret {name} is not JSON: set it again with `relay secret set`") from None
        if not isinstance(value, dict):
            raise OperatorError(f"the secret {name} is no JSON object: set it again with `relay secret set`")
        return value

    def signing_secrets(self, name: str, source: str) -> list[str]:
        """Return the current signing secrets of *source* from the secret *name*.

        Raises:
            OperatorError: It has none: closed, never open.
        """
        try:
            values = [str(it["value"]) for it in self.read(name).get(source, []) if it.get("value")]
        except UpstreamError as error:
            raise OperatorError("the signing secrets can't be read") from error
        if not values:
            raise OperatorError("this source has no signing secret yet")
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
