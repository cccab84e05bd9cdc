"""Checks QStash's token and URL before they are stored: their form, and whether QStash accepts them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from cli.terminal.options import CommandError
from relay.qstash import regions

if TYPE_CHECKING:
    from relay.errors import RelayError

EXAMPLE_URL = "https://qstash-us-east-1.upstash.io"
_REFUSED = {401, 403}
_NO_SUCH_USER = 404  # "user … not found in this region (eu-central-1)", as users have reported
_PASTED = (
    (r"(?i)bearer\s", "begins with `Bearer`"),
    (r"(?i)(export\s+)?QSTASH_TOKEN\s*=", "begins with `QSTASH_TOKEN=`"),
    (r"(?i)authorization\s*:", "begins with `Authorization:`"),
    (r"[\"'`]|.*[\"'`]$", "is in quotes"),
)


def check_form(token: str) -> None:
    """Check that *token* is a token alone, without the text around a token in an example or a file.

    Raises:
        CommandError: Its message says what to leave out, and has nothing of the token in it.
    """
    for pattern, what in _PASTED:
        if re.match(pattern, token):
            raise CommandError(
                f"the token {what}: give the token alone, as QStash's console shows it under QSTASH_TOKEN"
            )


def url_of(given: str) -> str:
    """Return *given* as QStash's base URL: a scheme and a host, without a slash at the end.

    Raises:
        BadParameter: *given* is no such URL.  A path is refused, because QStash's paths are appended to the URL.
    """
    like = f"must be like {EXAMPLE_URL}"
    try:
        parts = urlsplit(given)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise click.BadParameter(like, param_hint="--url") from None
    if not host or not re.fullmatch(r"[A-Za-z0-9.:\[\]-]+", parts.netloc):
        raise click.BadParameter(like, param_hint="--url")
    url = f"{parts.scheme}://{parts.netloc.lower()}"
    if parts.scheme != "https" and not _is_plain_and_near(parts.scheme, url):
        raise click.BadParameter(f"must begin with https://: {like}", param_hint="--url")
    if parts.path.strip("/") or parts.query or parts.fragment or given.endswith(("?", "#")):
        raise click.BadParameter(f"must be the host alone: --url {url}", param_hint="--url")
    return url


def _is_plain_and_near(scheme: str, url: str) -> bool:
    from cli.client.aws import is_loopback

    return scheme == "http" and is_loopback(url)


@dataclass(frozen=True)
class TokenProblem:
    """Why a token can't be used at a URL.

    Attributes:
        found: The problem, in words that have nothing of the token in them.
        is_refusal: QStash answers and refuses the token.
        region: Another region that accepts the token.
    """

    found: str
    is_refusal: bool = False
    region: str | None = None

    def command(self, name: str) -> str | None:
        """Return the command that solves this for the relay *name*; None if another token wouldn't help."""
        if not self.is_refusal:
            return None
        return regions.command(name, self.region and regions.REGIONS[self.region])


def problem_of(token: str, url: str) -> TokenProblem | None:
    """Return why *token* can't be used at *url*; None if QStash accepts it.

    A token that one of Upstash's regions refuses is tested at the others.  Other servers' tokens are sent nowhere else.
    """
    error = _ask_for_keys(token, url)
    if error is None:
        return None
    status = getattr(error, "answered", None)
    if status in _REFUSED or (regions.is_upstash(url) and status == _NO_SUCH_USER):
        others = regions.other_regions(url)
        region = next((name for name, other in others.items() if _ask_for_keys(token, other) is None), None)
        if region is not None:
            return TokenProblem(f"the token belongs to the {region} region", is_refusal=True, region=region)
        return TokenProblem(f"QStash at {url} refuses the token ({status})", is_refusal=True)
    if status is None:
        return TokenProblem(f"QStash doesn't answer at {url} ({error})")
    return TokenProblem(f"the server at {url} isn't QStash: GET /v2/keys answers {status}")


def _ask_for_keys(token: str, url: str) -> RelayError | None:
    """Read the signing keys, as every token may, and return the error; None if there is none."""
    from cli.client.api import transport
    from relay.errors import RelayError
    from relay.qstash.client import QStash
    from relay.qstash.http import QStashHttp

    way: Any = transport(url)
    try:
        QStash(QStashHttp(token, url, transport=way)).resources.signing_keys()
    except RelayError as error:
        return error
    finally:
        if way is not None:
            way.close()
    return None
