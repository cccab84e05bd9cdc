"""The secrets in destinations' headers.  In Secrets Manager, `{relay}/destinations` is an object of names and values.

The command calls a secret `destination:NAME`, so that nobody takes the name for a source's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cli.client.aws import Denied
from cli.client.secret_object import change_object, read_object
from cli.terminal.options import CommandError
from relay.config import secret_names
from relay.config.settings import named_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cli.client.secrets import Times

PREFIX = "destination:"
DESCRIPTION = "Secrets in destinations' own headers, for the relay"


def names_in(config: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the secrets that the deployed *config* names: `destination:NAME` -> its destinations."""
    return {
        f"{PREFIX}{name}": destinations for name, destinations in named_secrets(config.get("destinations", {})).items()
    }


def names(relay: str) -> list[str]:
    """Return the names of the stored secrets, `destination:NAME` each.

    Raises:
        Denied: The caller may not read them.
    """
    stored = read_object(secret_names.destinations(relay)) or {}
    return [f"{PREFIX}{name}" for name, it in stored.items() if isinstance(it, str) and it]


def times(relay: str, wanted: Iterable[str], denied: list[str]) -> dict[str, Times | None]:
    """Return each secret, *wanted* or stored, with the times of its values.

    Secrets Manager keeps no time of a destination's secret, so a stored one has the times [None], and a missing one [].
    The times are None if the caller may not read the secrets.

    Args:
        wanted: Secrets that the deployed configuration names.
        denied: The secret's name is added here if the caller may not read it and some are *wanted*.
    """
    try:
        there = names(relay)
    except Denied:
        denied += [secret_names.destinations(relay)] if wanted else []
        return dict.fromkeys(sorted(wanted))
    return {name: [None] if name in there else [] for name in sorted({*wanted, *there})}


def put(relay: str, what: str, value: str) -> bool:
    """Store *value* as the secret *what* (`destination:NAME`); return whether anything changed."""
    name = what.removeprefix(PREFIX)
    return change_object(secret_names.destinations(relay), lambda stored: {**stored, name: value}, DESCRIPTION)


def delete(relay: str, what: str) -> None:
    """Delete the secret *what* (`destination:NAME`).

    Raises:
        CommandError: There is none.
    """
    name = what.removeprefix(PREFIX)

    def change(stored: dict[str, Any]) -> dict[str, Any]:
        if name not in stored:
            raise CommandError(f"there is no {what} in {secret_names.destinations(relay)}: run `relay secret list`")
        return {key: value for key, value in stored.items() if key != name}

    change_object(secret_names.destinations(relay), change, DESCRIPTION)
