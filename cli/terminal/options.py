"""Shared by all commands: the global options, the error, times and ids as people type them, and lines of output.

Everything here is quick to import, because `relay --help` loads this module.
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


class CommandError(click.ClickException):
    """An expected error: one line on standard error that says what to do.  The exit status is 1."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(printable(message.strip()))

    def show(self, file: Any = None) -> None:
        """Write the line to standard error."""
        click.echo(f"error: {self.message}", file=file, err=file is None)


@dataclass(frozen=True)
class GlobalOptions:
    """The global options.

    Attributes:
        name: The relay's name, which is its stack's.
        as_json: Print JSON for programs, one object a line.
    """

    name: str
    as_json: bool


def _relay_name(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Check a relay's name, which is also its stack's name and a part of its secrets' names."""
    if value is not None and not re.fullmatch(r"[a-z][a-z0-9-]{0,63}", value):
        raise click.BadParameter("a relay's name is lower-case letters, digits and '-', beginning with a letter")
    return value


name_option = functools.partial(
    click.option, "--name", metavar="NAME", callback=_relay_name, help="The relay (its stack)."
)
json_option = functools.partial(
    click.option, "--json", "as_json", is_flag=True, help="One JSON object a line, for programs."
)


def global_options(function: Callable[Concatenate[GlobalOptions, P], None]) -> Callable[P, None]:
    """Add the global options to a command, and pass them as the first argument.

    People may also type them before the command: `relay --json event list`.
    """

    @name_option()
    @json_option()
    @functools.wraps(function)
    def command(*args: P.args, **kwargs: P.kwargs) -> None:
        root = click.get_current_context().find_root().params
        name, as_json = kwargs.pop("name"), kwargs.pop("as_json")
        options = GlobalOptions(str(name or root["name"]), as_json=bool(as_json or root["as_json"]))
        function(options, *args, **kwargs)

    return command


class Moment(click.ParamType[datetime]):
    """A moment: an age such as 30m, 2h or 1d, an ISO 8601 time with its zone, or epoch seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return *value* as an aware time in UTC."""
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


def event_id_of(text: str) -> str:
    """Return the event id (rly_…) for *text*: an event id, a delivery id (dlv_…) or SOURCE:ID.

    The command computes the id of SOURCE:ID itself, because a source's id may not fit into a URL's path: an id may have
    a `/`, or 1,000 characters.

    Raises:
        click.BadParameter: *text* is none of these.
    """
    from relay.model.ids import event_id, split_delivery_id

    source, colon, key = text.partition(":")
    if colon and source and key:  # decoded as the relay decodes a source's bytes
        return event_id(source, key.encode(errors="replace").decode())
    found = split_delivery_id(text)[0] if text.startswith("dlv_") else text
    if not colon and re.fullmatch("rly_[a-z0-9]+", found):
        return found
    raise click.BadParameter("an id is rly_…, dlv_… or SOURCE:ID, with the source's own id", param_hint="ID")


def iso(moment: datetime) -> str:
    """Return *moment* in the form of the relay's API: ISO 8601, UTC, with microseconds."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def printable(text: str) -> str:
    """Return *text* on one line; control characters, which could steer a terminal, become spaces."""
    return "".join(it if it.isprintable() else " " for it in text)


def json_line(record: object) -> None:
    """Print *record* as one line of JSON, in ASCII, which every terminal and pipe can show."""
    click.echo(json.dumps(record))


def note(text: str) -> None:
    """Print a note for people on standard error; programs read standard output."""
    click.echo(printable(text), err=True)
