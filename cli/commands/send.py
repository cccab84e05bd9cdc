"""`relay send`: signs a sample request and posts it to the deployed relay, as its source would."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from cli.samples import Sample, read
from cli.terminal.options import CommandError, GlobalOptions, global_options, json_line
from relay.urls import webhook_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from cli.client.api import Deployed
    from infra.local.sources.request import SourceRequest
    from relay.verification.scheme import Row
    from relay.verification.secret import Secret

TIMES_MAX = 1000
REFUSED = 401  # the relay's answer to a wrong signature


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--source", metavar="NAME", help="Send the sample as this source.  [default: the source or scheme in its path]"
)
@click.option("--times", type=click.IntRange(1, TIMES_MAX), default=1, help="Send the same request this often.")
@click.option("--tamper", is_flag=True, help="Change a byte after signing: the relay must refuse the request.")
@click.option("--stale", is_flag=True, help="Sign with a time that is too old: the relay must refuse the request.")
@click.option(
    "--dry-run", is_flag=True, help="Send nothing: show the matching routes, and the messages for destinations."
)
@global_options
def send(options: GlobalOptions, /, file: Path, source: str | None, times: int, **how: bool) -> None:
    """Sign a sample request and post it to the relay.

    FILE is the event of an HTTP API for a Lambda function, such as those in events/.  The request is signed now, with
    the source's scheme and its newest signing secret.  A request that already has a signature is sent unchanged.

    With --tamper or --stale, the exit status is 0 only if the relay refuses the request.
    """
    tamper, stale = how["tamper"], how["stale"]
    if sum(how.values()) > 1:
        raise click.UsageError("--tamper, --stale and --dry-run exclude each other: choose one")
    sample = read(file)
    if source is None and sample.source is None:
        raise click.UsageError(f"{file} isn't addressed to /webhooks/SOURCE: add --source")
    from cli.client.api import Deployed

    relay = Deployed.find(options.name)
    config = relay.config()
    name, row = _source(config["sources"], source, sample.source)
    if how["dry_run"]:
        from cli import dry_run

        dry_run.print_preview(options, config, name, sample)
        return
    request = _signed(relay, name, row, sample, tamper=tamper, stale=stale)
    query = request.url.partition("?")[2]
    rows = [
        _row(name, row, relay.webhook(name, request.method, query, request.headers, request.body)) for _ in range(times)
    ]
    _print_answers(options, rows)
    _check_refused(options, rows, must_be_refused=tamper or stale)


def _source(sources: Mapping[str, Any], wanted: str | None, scheme: str | None) -> tuple[str, Mapping[str, Any]]:
    """Return the name of the source to send as, and its scheme's row: *wanted*, or the only source with *scheme*."""
    name = wanted or str(scheme)
    if wanted is None and name not in sources:
        of_scheme = [it for it, source in sources.items() if source.get("scheme") == scheme]
        if len(of_scheme) > 1:
            raise CommandError(
                f"several sources have the scheme {scheme}: choose {' or '.join(sorted(of_scheme))} with --source"
            )
        name = of_scheme[0] if of_scheme else name
    if name not in sources:
        raise CommandError(
            f"the deployed relay has no source {name}, but {', '.join(sorted(sources)) or 'none at all'}: add {name} to"
            " relay.toml and run `make deploy`, or choose with --source"
        )
    if sources[name].get("schedule"):
        raise CommandError(
            f"{name} is a schedule: QStash alone posts to it, at its times: send the sample as another source, or wait"
            f" for the next tick ({sources[name]['schedule']['cron']} {sources[name]['schedule']['timezone']})"
        )
    return name, sources[name]["row"]


def _signed(
    relay: Deployed, name: str, row: Mapping[str, Any], sample: Sample, *, tamper: bool, stale: bool
) -> SourceRequest:
    """Return the sample as the source *name* would send it to *relay*, signed if it needs a signature and has none."""
    from time import time

    from infra.local.sources import sign
    from infra.local.sources.request import CannotSign, SourceRequest
    from relay.verification import scheme as schemes

    at = time()
    url = webhook_url(relay.url, quote(name, safe="")) + (f"?{sample.query}" if sample.query else "")
    request = SourceRequest(sample.method, url, sample.headers, sample.body)
    try:
        scheme = schemes.Row.of(row)
        carried = bool(sign.proofs(scheme, request))
        if stale:
            at -= _stale_by_s(name, scheme, carried=carried)
        if not carried:
            request = sign.signed(row, request, _secret(relay, name, scheme, request), at)
        if stale and not sign.proofs(scheme, request):
            raise CommandError("this request isn't signed, so it is never stale: leave out --stale")
        return sign.tampered(scheme, request) if tamper else request
    except CannotSign as error:
        raise CommandError(f"source {name}: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise CommandError(
            f"this version can't sign with the scheme of {name}: use the version that was deployed"
        ) from error


def _stale_by_s(name: str, scheme: Row, *, carried: bool) -> float:
    from infra.local.sources.sign import stale_by_s

    age_s = stale_by_s(scheme)
    if age_s is None:
        raise CommandError(
            f"the scheme of {name} has no signed time, so its requests are never stale: leave out --stale"
        )
    if carried:
        raise CommandError(
            "the sample has a signature, whose time can't be changed: remove the signature from the file"
        )
    return age_s


def _secret(relay: Deployed, name: str, scheme: Row, request: SourceRequest) -> Secret | None:
    """Return the newest signing secret of the source; None if there is none and the request needs none."""
    from cli.client import secrets
    from infra.local.sources.sign import needs_signature
    from relay.verification.secret import Secret

    values = secrets.signing_secrets(relay.stack.name, name)
    if not values and needs_signature(scheme, request):
        raise CommandError(f"source {name} has no signing secret yet: run `relay secret set {name}`")
    return Secret(values[0]) if values else None


def _row(source: str, row: Mapping[str, Any], response: httpx.Response) -> dict[str, Any]:
    """Return the printed record of *response*.  A handshake's has no event id."""
    from cli.client.api import MESSAGE_MAX_CHARS, error_of

    try:
        answer = response.json()
    except ValueError:
        answer = None
    said = answer if isinstance(answer, dict) else {}
    event_id = response.headers.get("relay-event-id") or said.get("event_id")
    code, message = error_of(response)
    error = f"{code or 'refused'}: {message or 'no reason given'}"
    taken = response.is_success and bool(event_id or row.get("handshake") or row.get("answer"))
    return {
        "source": source,
        "status": response.status_code,
        "event_id": event_id,
        "duplicate": response.headers.get("relay-duplicate") == "true" or said.get("duplicate") is True,
        "answer": response.text[:MESSAGE_MAX_CHARS] if taken and not event_id else None,
        "error": None if taken else error,
    }


def _print_answers(options: GlobalOptions, rows: list[dict[str, Any]]) -> None:
    from cli.terminal.tables import Column, table

    if options.as_json:
        for row in rows:
            json_line(row)
        return
    columns = [
        Column("STATUS", lambda it: it["status"]),
        Column("EVENT", lambda it: it["event_id"], whole=True),
        Column("NOTE", _note),
    ]
    table(columns, rows)


def _note(row: Mapping[str, Any]) -> str:
    if row["answer"] is not None:
        return f"answered {row['answer']}" if row["answer"] else "an empty answer, as the scheme has it"
    return row["error"] or ("duplicate" if row["duplicate"] else "")


def _check_refused(options: GlobalOptions, rows: list[dict[str, Any]], *, must_be_refused: bool) -> None:
    """Raise `CommandError` unless the relay accepted all, or refused all if *must_be_refused*."""
    refused = [it for it in rows if it["error"]]
    first = f"{refused[0]['status']} {refused[0]['error']}" if refused else ""
    if not must_be_refused:
        if refused:
            raise CommandError(f"the relay refused {len(refused)} of {len(rows)}: {first}")
        return
    taken = len(rows) - len(refused)
    if taken:
        raise CommandError(
            f"the relay accepted {taken} of {len(rows)}, but must refuse each: the deployed version doesn't check this:"
            " deploy it again with `make deploy`"
        )
    others = [it for it in refused if it["status"] != REFUSED]
    if others:
        raise CommandError(
            f"the relay failed before it could refuse: {others[0]['status']} {others[0]['error']}: run `relay doctor`"
        )
    if not options.as_json:
        from cli.terminal.tables import line

        line(f"refused, as it must be: {first}")
