"""What is kept of a source's refused requests, as the relay tells it page by page: shown, let in, or discarded."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from cli.terminal.options import Failure, aside, json_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cli.client.api import Deployed

IDS_MAX = 100  # what the relay takes in one call


@dataclass(frozen=True)
class Kept:
    """What is kept of one source."""

    deployed: Deployed
    source: str

    @classmethod
    def of(cls, deployed: Deployed, source: str) -> Kept:
        """Return what is kept of *source*.

        Raises:
            Failure: There is no such source, or nothing is kept of it.
        """
        known = deployed.config()["sources"]
        if source not in known:
            raise Failure(f"there is no source {source}: there are {', '.join(known)}")
        if not known[source].get("quarantine_s"):
            raise Failure(f'nothing that {source} sends is kept when it is refused: say quarantine = "3d" and deploy')
        return cls(deployed, source)

    def all(self) -> Iterator[dict[str, Any]]:
        """Yield the relay's answers, page by page, the oldest first."""
        cursor: str | None = None
        while True:
            answer = self.deployed.get("sources", self.source, "quarantine", cursor=cursor)
            yield answer
            cursor = _next(answer, cursor)
            if cursor is None:
                return

    def do(self, action: str, ids: list[str]) -> Iterator[dict[str, Any]]:
        """Yield what became of each: of *ids*, or of all that is kept where there are none."""
        asked: dict[str, Any] = {"action": action}
        left = list(dict.fromkeys(ids))
        while True:
            some = left[:IDS_MAX]
            answer = self._post(asked | ({"ids": some} if ids else {}))
            yield from answer["requests"]
            if ids:
                undone = answer["left"]
                if len(undone) == len(some):
                    raise Failure("the relay settled none of the requests: try again in a minute")
                left = undone + left[IDS_MAX:]
                if not left:
                    return
            else:
                asked["cursor"] = _next(answer, asked.get("cursor"))
                if asked["cursor"] is None:
                    return

    def _post(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        return self.deployed.post(f"sources/{quote(self.source, safe='')}/quarantine", asked)


def _next(answer: Mapping[str, Any], cursor: str | None) -> str | None:
    found: str | None = answer["cursor"]
    if found is not None and found == cursor:
        raise Failure("the relay returned the same cursor twice: run `relay doctor`")
    return found


def show(kept: Kept, ids: list[str], *, as_json: bool) -> None:
    """Show what is kept, or of that *ids*, and which would be let in now."""
    if ids:
        records = list(kept.do("check", ids))
        answer: dict[str, Any] | None = None
    else:
        answers = list(kept.all())
        answer = answers[-1]
        records = [it for one in answers for it in one["requests"]]
    if as_json:
        for it in records:
            json_line(it)
        return
    if records:
        _table(records)
    _tell_rest(kept, records, answer)


def release(kept: Kept, ids: list[str], *, as_json: bool) -> None:
    """Let in what passes, or of that *ids*; say what became of each."""
    records = _told(kept.do("release", ids), as_json=as_json)
    if not as_json:
        number = Counter(it["outcome"] for it in records)
        aside(
            f"{number['released']} let in, {number['duplicate']} had come again meanwhile; "
            f"{number['refused'] + number['unreadable']} stay: no secret of {kept.source} proves them"
        )
    _fail_where_it_failed(records)


def discard(kept: Kept, ids: list[str], *, yes: bool, as_json: bool) -> None:
    """Forget *ids*, or else what wouldn't be let in now, once that is confirmed."""
    if not ids:
        ids = [it["id"] for one in kept.all() for it in one["requests"] if it["outcome"] in ("refused", "unreadable")]
        if not ids:
            aside(f"nothing to discard: all that is kept of {kept.source} would be let in")
            return
        _confirm(f"Forget {len(ids)} that no secret of {kept.source} proves? The right secret could let them in", yes)
    records = _told(kept.do("discard", ids), as_json=as_json)
    _fail_where_it_failed(records)


def _confirm(doubt: str, yes: bool) -> None:  # noqa: FBT001
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("--discard without --id needs --yes where there is no terminal to ask on")
    click.confirm(doubt, abort=True, err=True)


def _told(them: Iterator[dict[str, Any]], *, as_json: bool) -> list[dict[str, Any]]:
    """Tell each; as JSON as soon as it is known."""
    records = []
    for it in them:
        records.append(it)
        if as_json:
            json_line(it)
    if records and not as_json:
        _table(records)
    return records


def _fail_where_it_failed(records: list[dict[str, Any]]) -> None:
    failed = [it for it in records if it["outcome"] == "failed"]
    if failed:
        raise Failure(f"{len(failed)} of {len(records)} failed ({failed[0]['message']}): run this again")


def _table(records: list[dict[str, Any]]) -> None:
    from cli.terminal.tables import Column, size_text, table, time_text

    table(
        [
            Column("ID", lambda it: it["id"], whole=True),
            Column("CAME", lambda it: time_text(it.get("received_at"))),
            Column("SIZE", lambda it: size_text(it["size_bytes"]) if "size_bytes" in it else "-"),
            Column("OUTCOME", lambda it: it["outcome"], whole=True),
            Column("EVENT OR WHY NOT", _what),
            Column("KEPT UNTIL", lambda it: time_text(it.get("expires_at"))),
        ],
        records,
    )


def _what(record: Mapping[str, Any]) -> str:
    if record.get("message"):
        return str(record["message"])
    return " ".join(filter(None, (record.get("event_type"), record.get("event_id") or record.get("idempotency_key"))))


def _tell_rest(kept: Kept, records: list[dict[str, Any]], answer: Mapping[str, Any] | None) -> None:
    number = Counter(it["outcome"] for it in records)
    if not records:
        aside(f"nothing that {kept.source} sent is kept")
    elif number["passes"]:
        aside(f"{number['passes']} would be let in: `relay source quarantine {kept.source} --release`")
    else:
        aside(
            f"none would be let in: is `relay secret set {kept.source}` still to do? `relay source refusals` says more"
        )
    if answer and (answer["number"] >= answer["number_max"] or answer["bytes"] * 10 >= answer["bytes_max"] * 9):
        aside("it is full, or almost: what comes now isn't kept; --discard makes room")
