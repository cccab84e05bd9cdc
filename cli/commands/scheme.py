"""`relay scheme`: lists signature schemes, and verifies a request as the relay does."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

import click

from cli.schemes import identity
from cli.terminal.options import CommandError, GlobalOptions, Moment, global_options, json_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from infra.config.schemes import Scheme

PROOFS = {"sdk": "its SDK", "library": "another's library", "documentation": "its documentation"}
CONFIG = click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Also use the [schemes.x] of this relay.toml.",
)


@click.group()
def scheme() -> None:
    """Show signature schemes, and verify requests with them."""


@scheme.command("list")
@CONFIG
@global_options
def list_(options: GlobalOptions, config: Path | None) -> None:
    """List the schemes that a source can have."""
    from cli.terminal.tables import Column, table

    known = _schemes(config)
    if options.as_json:
        for name, scheme_ in known.items():
            json_line(_json(name, scheme_))
        return
    columns = [
        Column("SCHEME", lambda it: it["name"], whole=True),
        Column("WHO", lambda it: it["scheme"].title),
        Column("SIGNS WITH", lambda it: ", ".join(it["scheme"].algorithm)),
        Column("SAME EVENT BY", lambda it: identity(it["scheme"].row())),
        Column("HANDSHAKE", lambda it: it["scheme"].handshake or ""),
        Column("PROVEN AGAINST", lambda it: PROOFS.get(it["scheme"].proof or "", "")),
    ]
    table(columns, [{"name": name, "scheme": it} for name, it in known.items()])


@scheme.command()
@click.argument("scheme_name", metavar="NAME")
@CONFIG
@global_options
def show(options: GlobalOptions, scheme_name: str, config: Path | None) -> None:
    """Show one scheme as [schemes.x] of relay.toml."""
    found = _scheme(scheme_name, _schemes(config))
    row = found.row()
    if options.as_json:
        json_line(_json(scheme_name, found))
        return
    from cli.terminal.tables import line

    never = "never sends an event again by itself"
    again = f"sends an event again for {found.retries_for_s / 3600:g} h" if found.retries_for_s else never
    line(f"# {found.title or scheme_name}" + (f"; proven against {PROOFS[found.proof]}" if found.proof else ""))
    line(f"# waits {found.timeout_s:g} s for an answer, {again}")
    line(f"# the same event by: {identity(row)}")
    line(f"[schemes.{scheme_name}]")
    for key, value in row.items():
        line(f"{key} = {_toml(value)}")


@scheme.command()
@click.argument("request_file", metavar="[REQUEST]", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--scheme", "scheme_name", metavar="NAME", help="The scheme to verify the request with.")
@click.option("--at", type=Moment(), help="Verify the request as of this time.  [default: now]")
@click.option("--batch", is_flag=True, help="Read requests from standard input, one JSON object a line.")
@CONFIG
@global_options
def verify(
    options: GlobalOptions,
    request_file: Path | None,
    scheme_name: str | None,
    at: datetime | None,
    batch: bool,  # noqa: FBT001
    config: Path | None,
) -> None:
    """Verify a request with the code that verifies the relay's webhooks.

    REQUEST is a file with a JSON object: method, url, headers, body (base64), such as {"method": "POST", "url":
    "https://hooks.example.com/webhooks/github", "headers": {"X-Hub-Signature-256": "…"}, "body": "e30="}; or the event
    of an HTTP API for a Lambda function.  The signing secret is read from standard input, or from a prompt; leave the
    secret empty if a handshake needs none.  Nothing is fetched: a provider's certificate or key must be a part of the
    secret (signing_cert_pem, cert_pem, jwk).

    With --batch, each line of standard input is a JSON object: id, scheme, secret, method, url, headers, body and now
    (epoch seconds).  For each, a line is printed: id, verdict (valid, invalid, handshake), reason, idempotency_key,
    event_type and answer.
    """
    known = _schemes(config)
    if batch:
        if request_file or scheme_name or at:
            raise click.UsageError(
                "--batch reads requests, schemes and times from standard input: leave out REQUEST, --scheme and --at"
            )
        _verify_lines(known)
        return
    if request_file is None or scheme_name is None:
        raise click.UsageError("give a REQUEST file and --scheme, or --batch")
    row = _scheme(scheme_name, known).row()
    verdict = _verdict(scheme_name, row, _read(request_file), _secret(), at.timestamp() if at else time())
    if options.as_json:
        json_line(verdict)
    else:
        _print_verdict(verdict)
    if verdict["verdict"] == "invalid":
        raise CommandError(f"the relay would refuse it: {verdict['message']}")


# -- verify -------------------------------------------------------------------------------------------------------


def _verify_lines(known: Mapping[str, Scheme]) -> None:
    failed = 0
    for number, text in enumerate(sys.stdin.buffer, 1):
        if not text.strip():
            continue
        request: Any = None
        try:
            request = json.loads(text)
            _check_line(request)
            name = request["scheme"]
            row = _scheme(name, known).row()
            verdict = _verdict(name, row, request, request.get("secret"), float(request.get("now", time())))
        except CommandError as error:
            verdict, failed = _unreadable(f"line {number}: {error.message}"), failed + 1
        except (ValueError, RecursionError) as error:
            verdict, failed = _unreadable(f"line {number} is no JSON: {error}"), failed + 1
        json_line({"id": request.get("id") if isinstance(request, dict) else None, **verdict})
    if failed:
        raise CommandError(
            f"{failed} line{'s' if failed > 1 else ''} could not be read: each must be a JSON object with scheme"
            " (`relay scheme list`), url, headers, now …"
        )


def _check_line(request: object) -> None:
    """Raise `CommandError` unless *request* is a request with a scheme."""
    if not isinstance(request, dict):
        raise CommandError("must be a JSON object")
    _check_request(request)
    secret, now = request.get("secret"), request.get("now", 0)
    if not isinstance(request.get("scheme"), str):
        raise CommandError("scheme is missing: give a name of `relay scheme list`")
    secrets = secret if isinstance(secret, list) else [] if secret is None else [secret]
    if not all(isinstance(it, str | dict) for it in secrets):
        raise CommandError("secret must be a text, an object of texts, or a list of these")
    if isinstance(now, bool) or not isinstance(now, int | float):
        raise CommandError("now must be a number: epoch seconds")


def _check_request(request: Mapping[str, Any]) -> None:
    """Raise `CommandError` unless *request* is a request."""
    headers, body = request.get("headers", {}), request.get("body") or ""
    if not isinstance(request.get("url"), str):
        raise CommandError("url is missing: give the whole URL of the request")
    if not isinstance(headers, dict):
        raise CommandError("headers must be an object of names and values")
    if not isinstance(request.get("method", "POST"), str):
        raise CommandError("method must be a text")
    try:
        base64.b64decode(body, validate=True)
    except (ValueError, TypeError):
        raise CommandError("body must be base64") from None


def _unreadable(message: str) -> dict[str, Any]:
    return {"verdict": "error", "reason": "unreadable", "message": message}


def _verdict(name: str, row: Mapping[str, Any], request: Any, secret: Any, at: float) -> dict[str, Any]:
    """Return the relay's verdict on *request* as of *at* (epoch seconds).

    Returns:
        `verdict` (valid, invalid, handshake), `reason`, `message`, `idempotency_key`, `event_type` and `answer`.
    """
    from relay.config.settings import Source
    from relay.errors import BodyTooLarge, SignatureError
    from relay.ingest.accept import Proof, examine
    from relay.verification.handshakes import HandshakeAnswer
    from relay.verification.secret import Secret

    source = Source(name, name, row, ())
    secrets = [] if secret is None else [Secret(it) for it in (secret if isinstance(secret, list) else [secret])]
    proof = Proof(secrets=lambda: secrets, refresh=lambda: False, fetch=None)
    nothing = {"idempotency_key": None, "event_type": None}
    try:
        result = examine(source, _inbound_request(request), proof, at=at)
    except SignatureError as error:
        refused = {"verdict": "invalid", "reason": error.reason, "message": str(error)}
        return {**refused, **nothing, "answer": {"status": error.status}}
    except BodyTooLarge as error:
        refused = {"verdict": "invalid", "reason": error.code, "message": str(error)}
        return {**refused, **nothing, "answer": {"status": error.status}}
    if isinstance(result, HandshakeAnswer):
        fetched = {"confirm": result.confirm} if result.confirm else {}
        answer = _answer(result.status, result.body, result.content_type, result.headers)
        return {"verdict": "handshake", "reason": "ok", "message": None, **nothing, "answer": answer, **fetched}
    return {
        "verdict": "valid",
        "reason": "ok",
        "message": None,
        "idempotency_key": result.idempotency_key,
        "event_type": result.event_type,
        "answer": _answer(*(source.row.answer or (202, "", "application/json")), {}),
    }


def _answer(status: int, body: str, content_type: str, headers: Mapping[str, str]) -> dict[str, Any]:
    answer: dict[str, Any] = {"status": status, "content_type": content_type or None, "headers": dict(headers)}
    answer["body"] = body
    if content_type == "application/json" and body:
        answer["json"] = json.loads(body)
    return answer


def _inbound_request(request: Mapping[str, Any]) -> Any:
    from relay.verification.request import InboundRequest

    headers = {
        str(name).lower(): ",".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in request.get("headers", {}).items()
    }
    body = base64.b64decode(request.get("body") or "", validate=True)
    return InboundRequest(
        method=str(request.get("method", "POST")), urls=[str(request["url"])], headers=headers, body=body
    )


def _read(file: Path) -> Mapping[str, Any]:
    try:
        request = json.loads(file.read_bytes())
    except OSError as error:
        raise CommandError(f"{file} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{file} isn't a request: the file is no JSON ({error})") from error
    if isinstance(request, dict) and "requestContext" in request:
        return _request_of_event(file, request)
    if not isinstance(request, dict):
        raise CommandError(f"{file} isn't a request: write a JSON object with method, url, headers and body (base64)")
    try:
        _check_request(request)
    except CommandError as error:
        raise CommandError(f"{file} isn't a request: {error.message}") from error
    return request


def _request_of_event(file: Path, event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the request in *event*, an HTTP API's for a Lambda function, with the URL of its host header."""
    from cli.samples import read

    sample = read(file)
    host = {str(name).lower(): it for name, it in event["headers"].items()}.get("host", "localhost")
    query = f"?{sample.query}" if sample.query else ""
    return {
        "method": sample.method,
        "url": f"https://{host}{event['rawPath']}{query}",
        "headers": sample.headers,
        "body": base64.b64encode(sample.body).decode(),
    }


def _secret() -> str | None:
    if sys.stdin.isatty():
        text = str(click.prompt("Signing secret", hide_input=True, err=True, default="", show_default=False))
    else:
        text = sys.stdin.buffer.read().decode(errors="replace").removesuffix("\n").removesuffix("\r")
    return text or None


def _print_verdict(verdict: Mapping[str, Any]) -> None:
    from cli.terminal.tables import line

    shown = {"handshake": "a handshake, which makes no event", "valid": "valid", "invalid": "invalid"}
    line(f"verdict          {shown[verdict['verdict']]}")
    for key in ("reason", "idempotency_key", "event_type"):
        if verdict[key] is not None:
            line(f"{key:<16} {verdict[key]}")
    line(f"{'answer':<16} {verdict['answer']['status']} {verdict['answer'].get('body') or ''}".rstrip())


# -- schemes ------------------------------------------------------------------------------------------------------


def _schemes(config: Path | None) -> Mapping[str, Scheme]:
    from infra.config.schemes import built_in_schemes

    if config is None:
        return built_in_schemes()
    from cli.config_file import load_config

    return {**built_in_schemes(), **load_config(config, allow_local=True).schemes}


def _scheme(name: str, known: Mapping[str, Scheme]) -> Scheme:
    from infra.config.mistakes import nearest

    if name not in known:
        raise CommandError(f"there is no scheme {name!r}{nearest(name, list(known), 'relay scheme list')}")
    return known[name]


def _json(name: str, known_scheme: Scheme) -> dict[str, Any]:
    return {"name": name, "title": known_scheme.title, "proof": known_scheme.proof, **known_scheme.row()}


def _toml(value: Any) -> str:
    """Return *value* as TOML on one line; a list of one as its member, which relay.toml accepts too."""
    import tomlkit

    if isinstance(value, list) and len(value) == 1:
        return _toml(value[0])
    if isinstance(value, dict):
        table = tomlkit.inline_table()
        table.update(value)
        return table.as_string()
    plain = [_whole(part) for part in value] if isinstance(value, list) else _whole(value)
    return str(tomlkit.item(plain).as_string())


def _whole(value: Any) -> Any:
    """Return a float without a fraction as an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
