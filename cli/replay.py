"""`relay replay`: have past events delivered again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.command import Asked, Failure, asking, json_line

if TYPE_CHECKING:
    from collections.abc import Iterator

DELIVERIES_MAX = 100  # what the relay takes in one replay


@click.group()
def replay() -> None:
    """Have past events delivered again."""


@replay.command("start")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("--destination", "destinations", metavar="NAME", multiple=True, help="Of an event, only to this one.")
@click.option("--include-delivered", is_flag=True, help="Of an event, also the deliveries that arrived.")
@click.option("--reason", metavar="TEXT", help="Kept with the replay.")
@asking
def start(
    asked: Asked,
    ids: tuple[str, ...],
    destinations: tuple[str, ...],
    include_delivered: bool,  # noqa: FBT001
    reason: str | None,
) -> None:
    """Start a replay of events (rly_…: their dead deliveries) or of single deliveries (dlv_….DESTINATION).

    A delivery that is still under way is skipped; so is, of an event, one that arrived.
    """
    _check(ids, narrowed=bool(destinations or include_delivered))
    from cli.deployed import Deployed

    relay = Deployed.find(asked.name)
    answers: list[dict[str, Any]] = []
    try:
        for body in _bodies(ids, destinations, include_delivered=include_delivered):
            answers.append(relay.post("replays", body | ({"reason": reason} if reason else {})))  # noqa: PERF401
    finally:  # what was started before a failure must be told
        _tell(asked, answers)
    if not any(it["deliveries"] for it in answers):
        raise Failure("nothing was replayed: every delivery was skipped, as said above")


def _check(ids: tuple[str, ...], *, narrowed: bool) -> None:
    for text in ids:
        if not text.startswith(("rly_", "dlv_")):
            raise click.BadParameter(f"{text!r}: an id is rly_… or dlv_….DESTINATION", param_hint="ID")
        if text.startswith("dlv_") and "." not in text:
            raise click.BadParameter(f"{text!r} names no destination: dlv_….DESTINATION", param_hint="ID")
        if text.startswith("dlv_") and narrowed:
            raise click.UsageError("--destination and --include-delivered choose from an event's deliveries (rly_…)")


def _bodies(
    ids: tuple[str, ...], destinations: tuple[str, ...], *, include_delivered: bool
) -> Iterator[dict[str, Any]]:
    deliveries = list(dict.fromkeys(it for it in ids if it.startswith("dlv_")))
    for first in range(0, len(deliveries), DELIVERIES_MAX):
        yield {"delivery_ids": deliveries[first : first + DELIVERIES_MAX]}
    for event in dict.fromkeys(it for it in ids if it.startswith("rly_")):
        named = {"destinations": list(destinations)} if destinations else {}
        yield {"event_id": event, "include_delivered": include_delivered, **named}


def _tell(asked: Asked, answers: list[dict[str, Any]]) -> None:
    from cli.tables import Column, table

    if asked.as_json:
        for answer in answers:
            json_line(answer)
        return
    rows = [
        {"replay": answer["id"], "delivery": it["id"], "status": it["status"], "note": ""}
        for answer in answers
        for it in answer["deliveries"]
    ] + [
        {"replay": "", "delivery": it["delivery_id"], "status": "skipped", "note": it["reason"]}
        for answer in answers
        for it in answer["skipped"]
    ]
    if rows:
        columns = [
            Column("DELIVERY", lambda it: it["delivery"], whole=True),
            Column("STATUS", lambda it: it["status"], whole=True),
            Column("REPLAY", lambda it: it["replay"], whole=True),
            Column("NOTE", lambda it: it["note"]),
        ]
        table(columns, rows)
