"""`relay source quarantine`: prints, releases and discards a source's quarantined requests, page by page."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from cli.terminal.options import CommandError, json_line, note

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cli.client.api import Deployed

IDS_MAX = 100  # the relay's limit for one call


@dataclass(frozen=True)
class Quarantine:
    """The quarantine of one source."""

    deployed: Deployed
    source: str

    @classmethod
    def of(cls, deployed: Deployed, source: str) -> Quarantine:
        """Return the quarantine of *source*.

        Raises:
            CommandError: There is no such source, or relay.toml sets no quarantine for the source.
        """
        known = deployed.config()["sources"]
        if source not in known:
            raise CommandError(f"there is no source {source}: there are {', '.join(known)}")
        if not known[source].get("quarantine_s"):
            raise CommandError(
                f'the source {source} has no quarantine: add quarantine = "3d" to relay.toml and run `make deploy`'
            )
        return cls(deployed, source)

    def pages(self) -> Iterator[dict[str, Any]]:
        """Yield the relay's answers, page by page, the oldest requests first."""
        cursor: str | None = None
        while True:
            answer = self.deployed.get("sources", self.source, "quarantine", cursor=cursor)
            yield answer
            cursor = _next_cursor(answer, cursor)
            if cursor is None:
                return

    def apply(self, action: str, ids: list[str]) -> Iterator[dict[str, Any]]:
        """Apply *action* to the requests *ids*, or to all if there are no ids; yield each request's outcome."""
        body: dict[str, Any] = {"action": action}
        left = list(dict.fromkeys(ids))
        while True:
            some = left[:IDS_MAX]
            answer = self._post(body | ({"ids": some} if ids else {}))
            yield from answer["requests"]
            if ids:
                undone = answer["left"]
                if len(undone) == len(some):
                    raise CommandError("the relay settled none of the requests: try again in a minute")
                left = undone + left[IDS_MAX:]
                if not left:
                    return
            else:
                body["cursor"] = _next_cursor(answer, body.get("cursor"))
                if body["cursor"] is None:
                    return

    def _post(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return self.deployed.post(f"sources/{quote(self.source, safe='')}/quarantine", body)


def _next_cursor(answer: Mapping[str, Any], cursor: str | None) -> str | None:
    found: str | None = answer["cursor"]
    if found is not None and found == cursor:
        raise CommandError("the relay returned the same cursor twice: run `relay doctor`")
    return found


def print_requests(quarantine: Quarantine, ids: list[str], *, as_json: bool) -> None:
    """Print the quarantined requests, or those of *ids*, and which of them would pass now."""
    if ids:
        records = list(quarantine.apply("check", ids))
        answer: dict[str, Any] | None = None
    else:
        answers = list(quarantine.pages())
        answer = answers[-1]
        records = [record for page in answers for record in page["requests"]]
    if as_json:
        for record in records:
            json_line(record)
        return
    if records:
        _print_table(records)
    _print_notes(quarantine, records, answer)


def release(quarantine: Quarantine, ids: list[str], *, as_json: bool) -> None:
    """Release the requests that pass, of *ids* or of all; print each request's outcome."""
    records = _print_outcomes(quarantine.apply("release", ids), as_json=as_json)
    if not as_json:
        number = Counter(it["outcome"] for it in records)
        note(
            f"{number['released']} released, {number['duplicate']} had arrived again meanwhile; "
            f"{number['refused'] + number['unreadable']} stay: no secret of {quarantine.source} verifies them"
        )
    _check_none_failed(records)


def discard(quarantine: Quarantine, ids: list[str], *, yes: bool, as_json: bool) -> None:
    """Delete the requests *ids*; if there are no ids, those that don't pass now, after a confirmation."""
    if not ids:
        records = [record for page in quarantine.pages() for record in page["requests"]]
        ids = [it["id"] for it in records if it["outcome"] in ("refused", "unreadable")]
        if not ids:
            note(f"nothing to discard: every quarantined request of {quarantine.source} would pass")
            return
        _confirm(
            f"Delete {len(ids)} requests that no secret of {quarantine.source} verifies?"
            " The right secret could still release them",
            yes=yes,
        )
    _check_none_failed(_print_outcomes(quarantine.apply("discard", ids), as_json=as_json))


def _confirm(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("--discard without --id needs --yes if there is no terminal to ask on")
    click.confirm(question, abort=True, err=True)


def _print_outcomes(outcomes: Iterator[dict[str, Any]], *, as_json: bool) -> list[dict[str, Any]]:
    """Print each of *outcomes*, JSON as soon as the relay answers; return them all."""
    records = []
    for record in outcomes:
        records.append(record)
        if as_json:
            json_line(record)
    if records and not as_json:
        _print_table(records)
    return records


def _check_none_failed(records: list[dict[str, Any]]) -> None:
    failed = [it for it in records if it["outcome"] == "failed"]
    if failed:
        raise CommandError(f"{len(failed)} of {len(records)} failed ({failed[0]['message']}): run the command again")


def _print_table(records: list[dict[str, Any]]) -> None:
    from cli.terminal.tables import Column, size_text, table, time_text

    table(
        [
            Column("ID", lambda it: it["id"], whole=True),
            Column("CAME", lambda it: time_text(it.get("received_at"))),
            Column("SIZE", lambda it: size_text(it["size_bytes"]) if "size_bytes" in it else "-"),
            Column("OUTCOME", lambda it: it["outcome"], whole=True),
            Column("EVENT OR WHY NOT", _event_or_reason),
            Column("KEPT UNTIL", lambda it: time_text(it.get("expires_at"))),
        ],
        records,
    )


def _event_or_reason(record: Mapping[str, Any]) -> str:
    if record.get("message"):
        return str(record["message"])
    return " ".join(filter(None, (record.get("event_type"), record.get("event_id") or record.get("idempotency_key"))))


def _print_notes(quarantine: Quarantine, records: list[dict[str, Any]], answer: Mapping[str, Any] | None) -> None:
    source = quarantine.source
    number = Counter(it["outcome"] for it in records)
    if not records:
        note(f"the quarantine of {source} is empty")
    elif number["passes"]:
        note(f"{number['passes']} would pass: run `relay source quarantine {source} --release`")
    else:
        note(f"none would pass: set the right secret with `relay secret set {source}`, or run `relay source refusals`")
    if answer and (answer["number"] >= answer["number_max"] or answer["bytes"] * 10 >= answer["bytes_max"] * 9):
        note("the quarantine is full, or almost: new requests aren't kept; make room with --discard")
