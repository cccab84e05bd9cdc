"""What all commands share: the global options, how a failure is told, and times as people write them.

Nothing here is slow to import: `relay --help` needs it all.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import click

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Failure(click.ClickException):
    """An expected error: told in one line that says what to do; exit status 1."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(printable(message.strip()))

    def show(self, file: Any = None) -> None:
        """Write the line to standard error."""
        click.echo(f"error: {self.message}", file=file, err=file is None)


@dataclass(frozen=True)
class Asked:
    """The global options: which relay, and whether a program reads the answer."""

    name: str
    as_json: bool


def _relay_name(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Take a relay's name: it is a stack's, and stands in the names of its secrets."""
    if value is not None and not re.fullmatch(r"[a-z][a-z0-9-]{0,63}", value):
        raise click.BadParameter("a relay's name is lower-case letters, digits and '-', beginning with a letter")
    return value


name_option = functools.partial(
    click.option, "--name", metavar="NAME", callback=_relay_name, help="The relay (its stack)."
)
json_option = functools.partial(
    click.option, "--json", "as_json", is_flag=True, help="One JSON object a line, for programs."
)


def asking(function: Callable[Concatenate[Asked, P], None]) -> Callable[P, None]:
    """Give a command the global options, which may also stand before it, as its first argument."""

    @name_option()
    @json_option()
    @functools.wraps(function)
    def command(*args: P.args, **kwargs: P.kwargs) -> None:
        root = click.get_current_context().find_root().params
        name, as_json = kwargs.pop("name"), kwargs.pop("as_json")
        asked = Asked(str(name or root["name"]), as_json=bool(as_json or root["as_json"]))
        function(asked, *args, **kwargs)

    return command


class Moment(click.ParamType[datetime]):
    """A moment: an age such as 30m, 2h or 1d, an ISO 8601 time with its zone, or epoch seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the aware UTC time that *value* says."""
        if isinstance(value, datetime):
            return value
        if age := re.fullmatch(r"([0-9]+)([smhdw])", value.strip()):
            try:
                return datetime.now(UTC) - timedelta(**{_UNITS[age[2]]: int(age[1])})
            except OverflowError:
                self.fail(f"{value!r} is before all time", param, ctx)
        if re.fullmatch(r"[0-9]{9,11}", value.strip()):
            return datetime.fromtimestamp(int(value), UTC)
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            self.fail(f"{value!r} is neither an age like 30m, 2h or 1d nor an ISO 8601 time", param, ctx)
        if moment.tzinfo is None:
            self.fail(f"{value!r} has no zone: end it with Z, or with an offset such as +02:00", param, ctx)
        try:
            return moment.astimezone(UTC)
        except OverflowError:
            self.fail(f"{value!r} is before or after all time", param, ctx)


def event_named(text: str) -> str:
    """Return the id (rly_…) of the event that *text* names: by it, by a delivery's (dlv_…), or as SOURCE:ID.

    It is reckoned here, since no path can carry all that a source may call an event: a `/`, or 1,000 characters.

    Raises:
        click.BadParameter: It is none of them.
    """
    from relay.model.ids import event_id, split_delivery_id

    source, colon, key = text.partition(":")
    if colon and source and key:  # bytes that are no text came as the relay reads them from anybody
        return event_id(source, key.encode(errors="replace").decode())
    found = split_delivery_id(text)[0] if text.startswith("dlv_") else text
    if not colon and re.fullmatch("rly_[a-z0-9]+", found):
        return found
    raise click.BadParameter("an id is rly_…, dlv_… or SOURCE:ID, with the source's own id", param_hint="ID")


def iso(moment: datetime) -> str:
    """Return *moment* as the relay takes it: ISO 8601, UTC."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def printable(text: str) -> str:
    """Return *text* on one line, without the control characters by which a stranger could steer a terminal."""
    return "".join(it if it.isprintable() else " " for it in text)


def json_line(record: object) -> None:
    """Print *record* as one line of JSON, in ASCII: any terminal and any pipe takes it."""
    click.echo(json.dumps(record))


def aside(text: str) -> None:
    """Tell people something on standard error, so that it stays out of what a program reads."""
    click.echo(printable(text), err=True)
