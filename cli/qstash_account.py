"""QStash's token and where it is good, tried before either is kept: a wrong one would stop all publishing."""

from __future__ import annotations

from urllib.parse import urlsplit

import click

from cli import aws
from cli.command import Failure
from cli.deployed import transport
from relay.caller import REGIONS
from relay.errors import QStashError
from relay.qstash import QStash

REFUSED = {401, 403}


def base_url(text: str) -> str:
    """Return the base URL of a QStash that *text* is.

    Raises:
        ValueError: It is none, and says what it must be.
    """
    example = f"it must be like {REGIONS['EU']} or {REGIONS['US']}"
    parts = urlsplit(text)
    host, _ = parts.hostname, parts.port
    if not host or parts.scheme not in {"http", "https"}:
        raise ValueError(example)
    if parts.scheme == "http" and host not in aws.LOOPBACK:
        raise ValueError(f"the token would travel in the clear: {example}")
    if "@" in parts.netloc or "?" in text or "#" in text:
        raise ValueError(f"it has more than scheme and host: {example}")
    if parts.path.strip("/"):
        raise ValueError(f"its path isn't wanted, the relay adds its own: give {parts.scheme}://{parts.netloc}")
    return f"{parts.scheme}://{parts.netloc}"


def check(token: str, url: str) -> None:
    """Make sure that the QStash at *url* takes *token*.

    Raises:
        Failure: It doesn't, or can't be asked; says what to do.
    """
    try:
        _ask(token, url)
    except QStashError as error:
        if error.answered not in REFUSED:
            raise Failure(
                f"{url} can't be asked whether it takes the token ({error}): check the network and --url, or keep it"
                " untried with --force; nothing was kept"
            ) from error
    else:
        return
    for region, other in REGIONS.items():
        if other != url and url in REGIONS.values() and _takes(token, other):
            raise Failure(f"{url} refuses the token: it is of the {region} region: add --url {other}")
    raise Failure(f"{url} refuses the token: copy QSTASH_TOKEN from QStash's console once more; nothing was kept")


def _takes(token: str, url: str) -> bool:
    try:
        _ask(token, url)
    except QStashError:
        return False
    return True


def _ask(token: str, url: str) -> None:
    way = transport(url)
    if way is not None:
        click.get_current_context().call_on_close(way.close)
    QStash(token, url, transport=way).signing_keys()
