"""Upstash's regions, each with accounts, tokens and keys of its own.

Source: https://upstash.com/docs/qstash/howto/multi-region
"""

from __future__ import annotations

from urllib.parse import urlsplit

from relay.qstash.http import DEFAULT_URL

REGIONS = {"EU": DEFAULT_URL, "US": "https://qstash-us-east-1.upstash.io"}
EU_BY_NAME = "https://qstash-eu-central-1.upstash.io"  # another name of EU
DEFAULT_NAME = "relay"  # the relay's name if the command has no --name


def is_upstash(url: str) -> bool:
    """Tell whether the QStash at *url* is Upstash's own."""
    return (urlsplit(url).hostname or "").endswith(".upstash.io") or url in REGIONS.values()


def other_regions(url: str) -> dict[str, str]:
    """Return the regions to try with a token that QStash refuses at *url*: name -> URL.

    There are none for a QStash that isn't Upstash's: nobody else may see its tokens.
    """
    if not is_upstash(url):
        return {}
    own = {url, DEFAULT_URL} if url == EU_BY_NAME else {url}
    return {name: other for name, other in REGIONS.items() if other not in own}


def command(relay: str, url: str | None = None) -> str:
    """Return the command that sets the token of the *relay*; *url*: QStash's new URL, if it changes."""
    named = "" if relay == DEFAULT_NAME else f" --name {relay}"
    return f"relay{named} secret set qstash{f' --url {url}' if url else ''}"
