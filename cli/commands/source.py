"""`relay source`: who sends webhooks, why some of them were refused, and what is kept of those."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.terminal.options import Asked, Failure, aside, asking, json_line
from relay.config import secret_names
from relay.model.refusal import UNKNOWN_SOURCE_NAME, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cli.client.api import Deployed

AGENT_MAX_CHARS = 60


@click.group()
def source() -> None:
    """Ask about sources: who sends webhooks."""


@source.command("list")
@asking
def list_(asked: Asked) -> None:
    """List the deployed sources: scheme, URL, URL groups, how the same event is known again, secrets, schedule."""
    from cli.client import secrets
    from cli.client.api import Deployed
    from cli.client.aws import Denied
    from cli.schemes import identity
    from cli.terminal.tables import Column, table

    config = Deployed.find(asked.name).config()
    sources, kept = config["sources"], config.get("counts", {}).get("quarantined", {})
    held: dict[str, int] | None = None
    try:
        held = secrets.counts(asked.name)
    except Denied:
        aside(f"the secret {secret_names.sources(asked.name)} isn't yours to read: how many there are isn't shown")
    records = [
        {
            "name": name,
            "scheme": it["scheme"],
            "url": it["url"],
            "url_groups": list(dict.fromkeys(group for route in it["routes"] for group in route["to"])),
            "same_event_by": "each tick is an event" if it.get("schedule") else identity(it["row"]),
            "secrets": None if held is None or it.get("schedule") else held.get(name, 0),
            "quarantine_s": it.get("quarantine_s"),
            "quarantined": kept.get(name),
            "cron": it["schedule"]["cron"] if it.get("schedule") else None,
            "timezone": it["schedule"]["timezone"] if it.get("schedule") else None,
        }
        for name, it in sources.items()
    ]
    if asked.as_json:
        for record in records:
            json_line(record)
        return
    columns = [
        Column("SOURCE", lambda it: it["name"], whole=True),
        Column("SCHEME", lambda it: it["scheme"]),
        Column("URL GROUPS", lambda it: ", ".join(it["url_groups"])),
        Column("SAME EVENT BY", lambda it: it["same_event_by"]),
        Column("SECRETS", _secrets_text),
        *([Column("QUARANTINE", _quarantine_text)] if any(it["quarantine_s"] for it in records) else []),
        *([Column("SCHEDULE", _schedule_text)] if any(it["cron"] for it in records) else []),
        Column("URL", lambda it: it["url"], whole=True),
    ]
    table(columns, records)


def _secrets_text(record: Mapping[str, Any]) -> object:
    if record["cron"]:
        return "QStash's"
    return "?" if record["secrets"] is None else record["secrets"] or "none"


def _quarantine_text(record: Mapping[str, Any]) -> str:
    from cli.terminal.tables import span_text

    return f"{record['quarantined']}, for {span_text(record['quarantine_s'])}" if record["quarantine_s"] else ""


def _schedule_text(record: Mapping[str, Any]) -> str:
    return f"{record['cron']} {record['timezone']}" if record["cron"] else ""


@source.command("refusals")
@click.argument("wanted", metavar="[SOURCE]", required=False)
@click.option("--reason", type=click.Choice([it.value for it in Reason]), help="Only those refused for this reason.")
@asking
def refusals(asked: Asked, wanted: str | None, reason: str | None) -> None:
    """Show why requests to sources were refused: how many, the last of them, and the likely cause.

    Without SOURCE those of all sources, and of (unknown): whatever was sent to a source that there isn't, or to another
    path than a webhook's.  What a refused request says of itself is untrusted: nobody knows who wrote it.

    The counts are short of what an ended function had not written yet.  CloudWatch has the exact ones: namespace
    FanoutRelay, metric Refused, dimensions relay, source, reason.
    """
    from cli.client.api import Deployed

    deployed = Deployed.find(asked.name)
    answers = [deployed.get("sources", it, "refusals") for it in _names(deployed, wanted)]
    counts = [{**it, "source": answer["source"]} for answer in answers for it in answer["counts"]]
    found = [
        {**it, "count": count["count"], "count_since": count["since"]}
        for answer in answers
        for it in answer["refusals"]
        for count in answer["counts"]
        if count["reason"] == it["reason"] and reason in {None, it["reason"]}
    ]
    found.sort(key=lambda it: str(it["at"]), reverse=True)
    if asked.as_json:
        for record in found:
            json_line(record)
    elif found:
        _tell([it for it in counts if reason in {None, it["reason"]}], found)
    else:
        aside("nothing was refused in the last seven days")


@source.command("handshake")
@click.argument("wanted", metavar="SOURCE")
@asking
def handshake(asked: Asked, wanted: str) -> None:
    """Show what the last handshake of a source told: a token to paste at the provider, as Notion wants it.

    Whoever knew the URL may have sent it, so it is untrusted: the provider refuses a token that isn't its own.
    """
    from cli.client.api import Deployed

    deployed = Deployed.find(asked.name)
    found = deployed.get("sources", _names(deployed, wanted)[0], "refusals")["handshake"]
    if asked.as_json:
        json_line({"source": wanted, **(found or {"at": None, "kept": {}})})
    elif found:
        from cli.terminal.tables import facts, time_text

        facts({"at": time_text(found["at"]), **found["kept"]})
        aside(f"paste it at the provider; once it takes it, set it with `relay secret set {wanted}`")
    else:
        aside(f"no handshake of {wanted} told anything in the last day")


@source.command("quarantine")
@click.argument("wanted", metavar="SOURCE")
@click.option("--release", is_flag=True, help="Let in what passes, as if it had come when it came.")
@click.option("--discard", is_flag=True, help="Forget what is named by --id; without, what wouldn't be let in now.")
@click.option("--id", "ids", metavar="ID", multiple=True, help="Only this one; may be given several times.")
@click.option("--yes", is_flag=True, help="Don't ask whether --discard is meant; without a terminal it must be said.")
@asking
def quarantine(asked: Asked, /, wanted: str, release: bool, discard: bool, ids: tuple[str, ...], yes: bool) -> None:  # noqa: FBT001
    """Show what is kept of what a source sent and was refused for its signature alone, and which of it would pass now.

    It is proven against the secrets as they are now, and by how old it was when it came.  Set the right one first
    (`relay secret set SOURCE`), then --release.  Nobody knows who wrote what doesn't pass.
    """
    from cli import quarantine
    from cli.client.api import Deployed

    if release and discard:
        raise click.UsageError("either --release or --discard")
    deployed = Deployed.find(asked.name)
    kept = quarantine.Kept.of(deployed, wanted)
    if release:
        quarantine.release(kept, list(ids), as_json=asked.as_json)
    elif discard:
        quarantine.discard(kept, list(ids), yes=yes, as_json=asked.as_json)
    else:
        quarantine.show(kept, list(ids), as_json=asked.as_json)


def _names(deployed: Deployed, wanted: str | None) -> list[str]:
    known = [*deployed.config()["sources"], UNKNOWN_SOURCE_NAME]
    if wanted is None:
        return known
    if wanted not in known:
        raise Failure(f"there is no source {wanted}: there are {', '.join(known)}")
    return [wanted]


def _tell(counts: list[dict[str, Any]], found: list[dict[str, Any]]) -> None:
    from cli.terminal.tables import Column, facts, heading, line, table, time_text

    table(
        [
            Column("SOURCE", lambda it: it["source"], whole=True),
            Column("REASON", lambda it: it["reason"], whole=True),
            Column("REFUSED (AT LEAST)", lambda it: it["count"]),
            Column("SINCE", lambda it: time_text(it["since"])),
            Column("LAST", lambda it: time_text(it["last_at"])),
        ],
        sorted(counts, key=lambda it: str(it["last_at"]), reverse=True),
    )
    heading("The last of each (untrusted: strangers may have written what they say)")
    for it in found:
        line(f"{time_text(it['at'])}  {it['source']}  {it['reason']}  {it['message']}")
        facts({"  from": _sender(it), "  what": _what(it), "  likely cause:": it["likely_cause"]})


def _sender(refused: Mapping[str, Any]) -> str:
    agent = str(refused["user_agent"] or "no user agent")
    return f"{refused['source_ip'] or '?'} {agent[:AGENT_MAX_CHARS]}{'…' if len(agent) > AGENT_MAX_CHARS else ''}"


def _what(refused: Mapping[str, Any]) -> str:
    from cli.terminal.tables import size_text

    what = f"{refused['method']} {refused['path']} {size_text(refused['size_bytes'])}"
    return f"{what} {refused['content_type'] or 'no content type'}"
