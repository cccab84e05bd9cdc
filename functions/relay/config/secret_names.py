"""The names of the relay's secrets in Secrets Manager, on which the stack and the command agree.

The stack tells the functions these names in their environment; `relay secret set` makes the secrets.
"""

from __future__ import annotations


def qstash(relay: str) -> str:
    """Return the name of the secret with QStash's token and URL."""
    return f"{relay}/qstash"


def sources(relay: str) -> str:
    """Return the name of the secret with the sources' signing secrets."""
    return f"{relay}/sources"


def github(relay: str) -> str:
    """Return the name of the secret with the token for GitHub's API."""
    return f"{relay}/github"


def destinations(relay: str) -> str:
    """Return the name of the secret with the values of destinations' headers."""
    return f"{relay}/destinations"
