"""A request as an SDK's caller has it, and how an SDK is entered as one to ask of it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module, metadata
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Request:
    """One case as an SDK's caller has it: ``headers`` finds a name in whatever case it is written."""

    scheme: str
    secret: Any
    method: str
    url: str
    headers: Any
    body: bytes
    now: int

    @classmethod
    def of(cls, case: dict[str, Any]) -> Request:
        """Return the request that *case* describes."""
        return cls(
            scheme=case["scheme"],
            secret=case["secret"],
            method=case["method"],
            url=case["url"],
            headers=import_module("requests.structures").CaseInsensitiveDict(case["headers"]),
            body=base64.b64decode(case["body"]),
            now=case["now"],
        )

    @property
    def text(self) -> str:
        """The body for an SDK that wants text; bytes that are no UTF-8 cannot be given to such an SDK."""
        return self.body.decode()

    @property
    def lowercase(self) -> dict[str, str]:
        """The headers as a plain mapping with lower-case names."""
        return {name.lower(): value for name, value in self.headers.items()}

    @property
    def form(self) -> Any:
        """The form fields of the body, urlencoded or multipart, as Django reads them."""
        return self.django.POST

    @property
    def django(self) -> Any:
        """The request as Django would hand it to a view."""
        factory = _django().RequestFactory()
        parts = urlsplit(self.url)
        return factory.generic(
            self.method,
            parts.path + (f"?{parts.query}" if parts.query else ""),
            data=self.body,
            content_type=self.headers.get("Content-Type", "application/octet-stream"),
            secure=parts.scheme == "https",
            headers={name: value for name, value in self.headers.items() if name.lower() != "content-type"},
        )


@cache
def _django() -> Any:
    """Return ``django.test`` with the least of settings."""
    settings = import_module("django.conf").settings
    settings.configure(ALLOWED_HOSTS=["*"], ANYMAIL={}, SECRET_KEY="made up", DATA_UPLOAD_MAX_MEMORY_SIZE=None)
    return import_module("django.test")


Ask = Callable[[Request], Any]


@dataclass(frozen=True)
class Oracle:
    """An SDK, the schemes that it knows, and how it is asked: a true answer means that the request is authentic."""

    name: str
    distribution: str
    schemes: tuple[str, ...]
    ask: Ask
    parses_last: bool
    """The SDK parses the body as JSON once the signature is found good, and not before."""

    @property
    def sdk(self) -> str:
        """Its name and its version, as verdicts carry it."""
        return f"{self.name} (Python) {metadata.version(self.distribution)}"


ORACLES: list[Oracle] = []


def oracle(name: str, distribution: str, *schemes: str, parses_last: bool = False) -> Callable[[Ask], Ask]:
    """Register the decorated function as what *name* says about requests of *schemes*."""

    def register(ask: Ask) -> Ask:
        ORACLES.append(Oracle(name, distribution, schemes, ask, parses_last))
        return ask

    return register
