"""`relay source`: the deployed sources, their refused requests, handshakes and quarantines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.terminal.options import CommandError, GlobalOptions, global_options, json_line, note
from relay.config import secret_names
from relay.model.refusal import UNKNOWN_SOURCE_NAME, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cli.client.api import Deployed

AGENT_MAX_CHARS = 60


@click.group()
def source() -> None:
    """Ask about the sources of webhooks."""


@source.command("list")
@global_options
def list_(options: GlobalOptions) -> None:
    """List the deployed sources: scheme, URL, URL groups, how duplicates are found, secrets, schedule."""
    from cli.client import secrets
    from cli.client.api import Deployed
    from cli.client.aws import Denied
    from cli.schemes import identity
    from cli.terminal.tables import Column, table

    config = Deployed.find(options.name).config()
    sources, quarantined = config["sources"], config.get("counts", {}).get("quarantined", {})
    secret_counts: dict[str, int] | None = None
    try:
        secret_counts = secrets.counts(options.name)
    except Denied:
        name = secret_names.sources(options.name)
        note(f"your AWS identity may not read the secret {name}: the number of values isn't shown")
    records = [
        {
            "name": name,
            "scheme": settings["scheme"],
            "url": settings["url"],
            "url_groups": list(dict.fromkeys(group for route in settings["routes"] for group in route["to"])),
            "same_event_by": "each tick is an event" if settings.get("schedule") else identity(settings["row"]),
            "secrets": None if secret_counts is None or settings.get("schedule") else secret_counts.get(name, 0),
            "quarantine_s": settings.get("quarantine_s"),
            "quarantined": quarantined.get(name),
            "cron": settings["schedule"]["cron"] if settings.get("schedule") else None,
            "timezone": settings["schedule"]["timezone"] if settings.get("schedule") else None,
        }
        for name, settings in sources.items()
    ]
    if options.as_json:
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
@global_options
def refusals(options: GlobalOptions, wanted: str | None, reason: str | None) -> None:
    """Show why requests to sources were refused: how many, the last of them, and the likely cause.

    Without SOURCE, all sources are shown, and (unknown): requests to sources that don't exist, or to paths that are no
    webhook's.  The texts of refused requests are untrusted: anybody may have written them.

    The counts may be a little low, because a function may end before it writes its last ones.  CloudWatch has the
    exact counts: namespace FanoutRelay, metric Refused, dimensions relay, source, reason.
    """
    from cli.client.api import Deployed

    deployed = Deployed.find(options.name)
    answers = [deployed.get("sources", it, "refusals") for it in _names(deployed, wanted)]
    counts = [{**count, "source": answer["source"]} for answer in answers for count in answer["counts"]]
    found = [
        {**refusal, "count": count["count"], "count_since": count["since"]}
        for answer in answers
        for refusal in answer["refusals"]
        for count in answer["counts"]
        if count["reason"] == refusal["reason"] and reason in {None, refusal["reason"]}
    ]
    found.sort(key=lambda it: str(it["at"]), reverse=True)
    if options.as_json:
        for record in found:
            json_line(record)
    elif found:
        _print_refusals([it for it in counts if reason in {None, it["reason"]}], found)
    else:
        note("nothing was refused in the last seven days")


@source.command("handshake")
@click.argument("wanted", metavar="SOURCE")
@global_options
def handshake(options: GlobalOptions, wanted: str) -> None:
    """Show the token of a source's last handshake, which some providers, such as Notion, want pasted back.

    The token is untrusted: anybody who knows the URL may have sent it.  The provider refuses a token that isn't its
    own.
    """
    from cli.client.api import Deployed

    deployed = Deployed.find(options.name)
    found = deployed.get("sources", _names(deployed, wanted)[0], "refusals")["handshake"]
    if options.as_json:
        json_line({"source": wanted, **(found or {"at": None, "kept": {}})})
    elif found:
        from cli.terminal.tables import facts, time_text

        facts({"at": time_text(found["at"]), **found["kept"]})
        note(f"paste the token at the provider; once it is accepted, run `relay secret set {wanted}`")
    else:
        note(f"no handshake of {wanted} had a token in the last day")


@source.command("quarantine")
@click.argument("wanted", metavar="SOURCE")
@click.option("--release", is_flag=True, help="Accept the requests that pass, with their original arrival time.")
@click.option("--discard", is_flag=True, help="Delete the requests of --id; without --id, those that don't pass now.")
@click.option("--id", "ids", metavar="ID", multiple=True, help="Only this request; may be given several times.")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation of --discard; needed if there is no terminal.")
@global_options
def quarantine(
    options: GlobalOptions,
    /,
    wanted: str,
    release: bool,  # noqa: FBT001
    discard: bool,  # noqa: FBT001
    ids: tuple[str, ...],
    yes: bool,  # noqa: FBT001
) -> None:
    """Show a source's quarantine: requests refused for their signature alone, and which of them would pass now.

    Each request is verified with the present secrets, as of the time of its arrival.  Set the right secret first
    (`relay secret set SOURCE`), then run this with --release.  Requests that don't pass are untrusted: anybody may have
    written them.
    """
    from cli import quarantine
    from cli.client.api import Deployed

    if release and discard:
        raise click.UsageError("--release and --discard contradict each other: choose one")
    deployed = Deployed.find(options.name)
    requests = quarantine.Quarantine.of(deployed, wanted)
    if release:
        quarantine.release(requests, list(ids), as_json=options.as_json)
    elif discard:
        quarantine.discard(requests, list(ids), yes=yes, as_json=options.as_json)
    else:
        quarantine.print_requests(requests, list(ids), as_json=options.as_json)


def _names(deployed: Deployed, wanted: str | None) -> list[str]:
    known = [*deployed.config()["sources"], UNKNOWN_SOURCE_NAME]
    if wanted is None:
        return known
    if wanted not in known:
        raise CommandError(f"there is no source {wanted}: there are {', '.join(known)}")
    return [wanted]


def _print_refusals(counts: list[dict[str, Any]], found: list[dict[str, Any]]) -> None:
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
    heading("The last of each (untrusted: anybody may have written them)")
    for refusal in found:
        line(f"{time_text(refusal['at'])}  {refusal['source']}  {refusal['reason']}  {refusal['message']}")
        facts({"  from": _sender(refusal), "  what": _request(refusal), "  likely cause:": refusal["likely_cause"]})


def _sender(refused: Mapping[str, Any]) -> str:
    agent = str(refused["user_agent"] or "no user agent")
    return f"{refused['source_ip'] or '?'} {agent[:AGENT_MAX_CHARS]}{'…' if len(agent) > AGENT_MAX_CHARS else ''}"


def _request(refused: Mapping[str, Any]) -> str:
    from cli.terminal.tables import size_text

    what = f"{refused['method']} {refused['path']} {size_text(refused['size_bytes'])}"
    return f"{what} {refused['content_type'] or 'no content type'}"
