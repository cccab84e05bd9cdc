"""QStash's HTTP API: the one place that imports httpx and knows its wire names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from relay.errors import QStashError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import httpx

DEFAULT_URL = "https://qstash.upstash.io"
CONNECT_TIMEOUT_S = 2.0
CALL_TIMEOUT_S = 10.0
CALLBACK_RETRIES = 5  # said explicitly: else a callback has as many as its message, and none where that has none
CALLBACK_TIMEOUT_S = 20
DAY_S = 86_400


@dataclass(frozen=True)
class Message:
    """What to publish.

    Attributes:
        destination: A URL group's name, or a URL.
        headers: What destinations get beside the content type; any text, made safe here.
        retry_delay: QStash's expression, in milliseconds.
    """

    destination: str
    body: bytes
    content_type: str | None
    headers: Mapping[str, str]
    deduplication_id: str
    label: str
    callback: str
    failure_callback: str
    retries: int
    retry_delay: str | None
    timeout_s: int

    def wire_headers(self) -> dict[str, str]:
        """Return the request headers that say all this to QStash."""
        said = {
            "Content-Type": self.content_type,
            "Upstash-Method": "POST",
            "Upstash-Deduplication-Id": self.deduplication_id,
            "Upstash-Label": self.label,
            "Upstash-Retries": str(self.retries),
            "Upstash-Retry-Delay": self.retry_delay,
            "Upstash-Timeout": f"{self.timeout_s}s",
            "Upstash-Callback": self.callback,
            "Upstash-Callback-Retries": str(CALLBACK_RETRIES),
            "Upstash-Callback-Timeout": f"{CALLBACK_TIMEOUT_S}s",
            "Upstash-Failure-Callback": self.failure_callback,
            "Upstash-Failure-Callback-Retries": str(CALLBACK_RETRIES),
            "Upstash-Failure-Callback-Timeout": f"{CALLBACK_TIMEOUT_S}s",
        }
        forwarded = {f"Upstash-Forward-{name}": value for name, value in self.headers.items()}
        return {name: _safe(value) for name, value in (said | forwarded).items() if value is not None}


@dataclass(frozen=True)
class Accepted:
    """One message that QStash has taken: its id, and its URL where it belongs to a group."""

    message_id: str
    url: str | None


class QStash:
    """A client of one QStash account.

    Args:
        timeout_s: How long one call may take in all parts.
        transport: For tests: what sends in the network's stead.
    """

    def __init__(
        self,
        token: str,
        url: str = DEFAULT_URL,
        *,
        timeout_s: float = CALL_TIMEOUT_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._timeout_s = timeout_s
        self._transport = transport

    @cached_property
    def _client(self) -> httpx.Client:
        import httpx

        return httpx.Client(
            headers={"Authorization": f"Bearer {self._token}"},
            timeout=httpx.Timeout(self._timeout_s, connect=CONNECT_TIMEOUT_S),
            transport=self._transport,
        )

    def publish(self, message: Message, *, timeout_s: float | None = None) -> list[Accepted]:
        """Publish *message*; a group gives one `Accepted` an endpoint.

        Raises:
            QStashError: It wasn't taken, or nobody knows: the same id may be published again.
        """
        answer = self._call(
            "POST",
            f"/v2/publish/{message.destination}",
            content=message.body,
            headers=message.wire_headers(),
            timeout_s=timeout_s,
        )
        return [Accepted(it["messageId"], it.get("url")) for it in (answer if isinstance(answer, list) else [answer])]

    def signing_keys(self) -> tuple[str, str]:
        """Return the current and the next signing key."""
        answer = self._call("GET", "/v2/keys")
        return answer["current"], answer["next"]

    def groups(self) -> dict[str, list[dict[str, str]]]:
        """Return every URL group's endpoints, each with `url` and, where it has one, `name`."""
        return {it["name"]: it.get("endpoints") or [] for it in self._call("GET", "/v2/topics")}

    def put_endpoints(self, group: str, endpoints: Sequence[Mapping[str, str]]) -> None:
        """Add *endpoints* to *group*, which is made where it isn't there; those of a known name get the new URL."""
        self._call("POST", f"/v2/topics/{quote(group)}/endpoints", json={"endpoints": list(endpoints)})

    def remove_endpoints(self, group: str, endpoints: Sequence[Mapping[str, str]]) -> None:
        """Remove *endpoints* from *group*; QStash deletes a group with its last endpoint."""
        self._call("DELETE", f"/v2/topics/{quote(group)}/endpoints", json={"endpoints": list(endpoints)})

    def remove_group(self, group: str) -> None:
        """Delete *group*; one that isn't there is fine."""
        self._call("DELETE", f"/v2/topics/{quote(group)}", absent_is_fine=True)

    def labelled(self, label: str) -> list[Accepted]:
        """Return the messages that QStash's logs know under *label*."""
        answer = self._call("GET", "/v2/logs", params={"label": label, "count": "1000"})
        rows = answer.get("logs") or answer.get("events") or []
        return list({row["messageId"]: Accepted(row["messageId"], row.get("url")) for row in rows}.values())

    def _call(
        self,
        method: str,
        path: str,
        *,
        timeout_s: float | None = None,
        absent_is_fine: bool = False,
        **request: Any,
    ) -> Any:
        import httpx

        if timeout_s is not None:
            request["timeout"] = httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S))
        try:
            answer = self._client.request(method, self.url + path, **request)
        except httpx.HTTPError as error:
            raise QStashError(f"no answer to {method}: {type(error).__name__}") from error
        if answer.is_success:
            return _json(answer) if answer.content.strip() else None
        if answer.status_code == httpx.codes.NOT_FOUND and absent_is_fine:
            return None
        raise QStashError(
            f"{method} was answered {answer.status_code}: {_reason(answer)}",
            answered=answer.status_code,
            retry_after_s=_retry_after_s(answer),
        )


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError as error:
        raise QStashError("the answer is not JSON") from error


def _reason(answer: httpx.Response) -> str:
    return answer.text[:200]


def _retry_after_s(answer: httpx.Response) -> int | None:
    given = answer.headers.get("Retry-After", "")
    return min(int(given), DAY_S) if given.isascii() and given.isdigit() else None


def _safe(value: str) -> str:
    """Return *value* as a header can carry it: printable ASCII; anything else percent-encoded."""
    return value if value.isascii() and value.isprintable() else quote(value, safe=" /:;,.-_=+()'\"")
