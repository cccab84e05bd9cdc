"""The secrets that destinations' own headers name, in Secrets Manager: `{relay}/destinations` is name -> value.

The command calls them `destination:` and the name, so that none is taken for a source's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cli.client.aws import Denied
from cli.client.kept import change_object, read_object
from cli.terminal.options import Failure
from relay.config import secret_names
from relay.config.settings import named_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cli.client.secrets import Times

PREFIX = "destination:"
DESCRIPTION = "Secrets in destinations' own headers, for the relay"


def named(config: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return which destinations of what is deployed name which secret: `destination:NAME` -> destinations."""
    return {f"{PREFIX}{name}": them for name, them in named_secrets(config.get("destinations", {})).items()}


def held(relay: str) -> list[str]:
    """Return the destinations' secrets that there are, `destination:NAME` each.

    Raises:
        Denied: The caller may not read them.
    """
    found = read_object(secret_names.destinations(relay)) or {}
    return [f"{PREFIX}{name}" for name, it in found.items() if isinstance(it, str) and it]


def times(relay: str, wanted: Iterable[str], denied: list[str]) -> dict[str, Times | None]:
    """Return those *wanted* and those that there are, and when each was set: nobody keeps it; None: they can't be read.

    Args:
        denied: Gets the secret's name where it may not be read though something is *wanted* of it.
    """
    try:
        there = held(relay)
    except Denied:
        denied += [secret_names.destinations(relay)] if wanted else []
        return dict.fromkeys(sorted(wanted))
    return {name: [None] if name in there else [] for name in sorted({*wanted, *there})}


def keep(relay: str, what: str, value: str) -> bool:
    """Keep *value* as the secret *what*; tell whether that changed anything."""
    name = what.removeprefix(PREFIX)
    return change_object(secret_names.destinations(relay), lambda held: {**held, name: value}, DESCRIPTION)


def take_away(relay: str, what: str) -> None:
    """Take away the secret *what*.

    Raises:
        Failure: There is none.
    """
    name = what.removeprefix(PREFIX)

    def change(held: dict[str, Any]) -> dict[str, Any]:
        if name not in held:
            raise Failure(
                f"there is no {what} in {secret_names.destinations(relay)}: `relay secret list` shows which there are"
            )
        return {key: value for key, value in held.items() if key != name}

    change_object(secret_names.destinations(relay), change, DESCRIPTION)
