"""`relay scheme`: how sources sign, and what the relay would make of a request."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

import click

from cli.schemes import identity
from cli.terminal.options import Asked, Failure, Moment, asking, json_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from infra.config.schemes import Scheme

PROOFS = {"sdk": "its SDK", "library": "another's library", "documentation": "its documentation"}
CONFIG = click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A relay.toml whose own [schemes.x] are known too.",
)


@click.group()
def scheme() -> None:
    """Ask about signature schemes: how sources sign."""


@scheme.command("list")
@CONFIG
@asking
def list_(asked: Asked, config: Path | None) -> None:
    """List the schemes that a source can have."""
    from cli.terminal.tables import Column, table

    known = _known(config)
    if asked.as_json:
        for name, known_scheme in known.items():
            json_line(_json(name, known_scheme))
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
@asking
def show(asked: Asked, scheme_name: str, config: Path | None) -> None:
    """Show one scheme: its row, as [schemes.x] in relay.toml takes it."""
    shown = _scheme(scheme_name, _known(config))
    row = shown.row()
    if asked.as_json:
        json_line(_json(scheme_name, shown))
        return
    from cli.terminal.tables import line

    never = "never sends an event again by itself"
    again = f"sends an event again for {shown.retries_for_s / 3600:g} h" if shown.retries_for_s else never
    line(f"# {shown.title or scheme_name}" + (f"; proven against {PROOFS[shown.proof]}" if shown.proof else ""))
    line(f"# waits {shown.timeout_s:g} s for an answer, {again}")
    line(f"# the same event by: {identity(row)}")
    line(f"[schemes.{scheme_name}]")
    for key, value in row.items():
        line(f"{key} = {_toml(value)}")


@scheme.command()
@click.argument("request_file", metavar="[REQUEST]", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--scheme", "scheme_name", metavar="NAME", help="The scheme to verify it by.")
@click.option("--at", type=Moment(), help="The time to verify it at.  [default: now]")
@click.option("--batch", is_flag=True, help="Read requests from standard input, one JSON object a line.")
@CONFIG
@asking
def verify(
    asked: Asked,
    request_file: Path | None,
    scheme_name: str | None,
    at: datetime | None,
    batch: bool,  # noqa: FBT001
    config: Path | None,
) -> None:
    """Say what the relay would make of a request, with the code that takes webhooks in.

    REQUEST is a file with a JSON object: method, url, headers, body (base64), such as {"method": "POST", "url":
    "https://hooks.example.com/webhooks/github", "headers": {"X-Hub-Signature-256": "…"}, "body": "e30="}; or a request
    as an HTTP API hands it to a Lambda.  The signing secret is read from standard input, or asked for; it may be empty
    where a handshake needs none.  Nothing is fetched: a certificate or key that comes from the provider must be a part
    of the secret (signing_cert_pem, cert_pem, jwk).

    With --batch each line of standard input holds id, scheme, secret, method, url, headers, body and now (epoch
    seconds), and a line with id, verdict (valid, invalid, handshake), reason, idempotency_key, event_type and answer is
    printed for each.
    """
    known = _known(config)
    if batch:
        if request_file or scheme_name or at:
            raise click.UsageError("--batch reads requests, schemes and times from standard input: give none")
        _verify_lines(known)
        return
    if request_file is None or scheme_name is None:
        raise click.UsageError("give a REQUEST file and --scheme, or --batch")
    row = _scheme(scheme_name, known).row()
    verdict = _verdict(scheme_name, row, _read(request_file), _secret(), at.timestamp() if at else time())
    if asked.as_json:
        json_line(verdict)
    else:
        _tell(verdict)
    if verdict["verdict"] == "invalid":
        raise Failure(f"the relay would refuse it: {verdict['message']}")


# -- verify -------------------------------------------------------------------------------------------------------


def _verify_lines(known: Mapping[str, Scheme]) -> None:
    failed = 0
    for number, text in enumerate(sys.stdin.buffer, 1):
        if not text.strip():
            continue
        asked: Any = None
        try:
            asked = json.loads(text)
            _check_line(asked)
            name = asked["scheme"]
            row = _scheme(name, known).row()
            verdict = _verdict(name, row, asked, asked.get("secret"), float(asked.get("now", time())))
        except Failure as error:
            verdict, failed = _unreadable(f"line {number}: {error.message}"), failed + 1
        except (ValueError, RecursionError) as error:
            verdict, failed = _unreadable(f"line {number} is no JSON: {error}"), failed + 1
        json_line({"id": asked.get("id") if isinstance(asked, dict) else None, **verdict})
    if failed:
        raise Failure(f"{failed} lines could not be read: each must be a JSON object with scheme, url, headers, now …")


def _check_line(asked: object) -> None:
    """Raise `Failure` unless *asked* is a request with a scheme."""
    if not isinstance(asked, dict):
        raise Failure("must be a JSON object")
    _check_request(asked)
    secret, now = asked.get("secret"), asked.get("now", 0)
    if not isinstance(asked.get("scheme"), str):
        raise Failure("scheme is missing: the name of one, as `relay scheme list` has it")
    held = secret if isinstance(secret, list) else [] if secret is None else [secret]
    if not all(isinstance(it, str | dict) for it in held):
        raise Failure("secret must be a text, an object of texts, or a list of these")
    if isinstance(now, bool) or not isinstance(now, int | float):
        raise Failure("now must be a number: epoch seconds")


def _check_request(asked: Mapping[str, Any]) -> None:
    """Raise `Failure` unless *asked* is a request."""
    headers, body = asked.get("headers", {}), asked.get("body") or ""
    if not isinstance(asked.get("url"), str):
        raise Failure("url is missing: the whole URL that it was sent to")
    if not isinstance(headers, dict):
        raise Failure("headers must be an object: name and value")
    if not isinstance(asked.get("method", "POST"), str):
        raise Failure("method must be a text")
    try:
        base64.b64decode(body, validate=True)
    except (ValueError, TypeError):
        raise Failure("body must be base64") from None


def _unreadable(message: str) -> dict[str, Any]:
    return {"verdict": "error", "reason": "unreadable", "message": message}


def _verdict(name: str, row: Mapping[str, Any], asked: Any, secret: Any, at: float) -> dict[str, Any]:
    """Return what ingest would make of the request *asked*."""
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
        said = examine(source, _request(asked), proof, at=at)
    except SignatureError as error:
        refused = {"verdict": "invalid", "reason": error.reason, "message": str(error)}
        return {**refused, **nothing, "answer": {"status": error.status}}
    except BodyTooLarge as error:
        refused = {"verdict": "invalid", "reason": error.code, "message": str(error)}
        return {**refused, **nothing, "answer": {"status": error.status}}
    if isinstance(said, HandshakeAnswer):
        fetched = {"confirm": said.confirm} if said.confirm else {}
        answer = _answer(said.status, said.body, said.content_type, said.headers)
        return {"verdict": "handshake", "reason": "ok", "message": None, **nothing, "answer": answer, **fetched}
    return {
        "verdict": "valid",
        "reason": "ok",
        "message": None,
        "idempotency_key": said.idempotency_key,
        "event_type": said.event_type,
        "answer": _answer(*(source.row.answer or (202, "", "application/json")), {}),
    }


def _answer(status: int, body: str, content_type: str, headers: Mapping[str, str]) -> dict[str, Any]:
    answer: dict[str, Any] = {"status": status, "content_type": content_type or None, "headers": dict(headers)}
    answer["body"] = body
    if content_type == "application/json" and body:
        answer["json"] = json.loads(body)
    return answer


def _request(asked: Mapping[str, Any]) -> Any:
    from relay.verification.request import InboundRequest

    headers = {
        str(name).lower(): ",".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in asked.get("headers", {}).items()
    }
    body = base64.b64decode(asked.get("body") or "", validate=True)
    return InboundRequest(method=str(asked.get("method", "POST")), urls=[str(asked["url"])], headers=headers, body=body)


def _read(file: Path) -> Mapping[str, Any]:
    try:
        asked = json.loads(file.read_bytes())
    except OSError as error:
        raise Failure(f"{file} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise Failure(f"{file} isn't a request: it is no JSON ({error})") from error
    if isinstance(asked, dict) and "requestContext" in asked:
        return _of_api(file, asked)
    if not isinstance(asked, dict):
        raise Failure(f"{file} isn't a request: a JSON object with method, url, headers and body (base64) is wanted")
    try:
        _check_request(asked)
    except Failure as error:
        raise Failure(f"{file} isn't a request: {error.message}") from error
    return asked


def _of_api(file: Path, event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the request that an HTTP API handed to a Lambda, at the host that it was sent to."""
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


def _tell(verdict: Mapping[str, Any]) -> None:
    from cli.terminal.tables import line

    shown = {"handshake": "a handshake, which makes no event", "valid": "valid", "invalid": "invalid"}
    line(f"verdict          {shown[verdict['verdict']]}")
    for key in ("reason", "idempotency_key", "event_type"):
        if verdict[key] is not None:
            line(f"{key:<16} {verdict[key]}")
    line(f"{'answer':<16} {verdict['answer']['status']} {verdict['answer'].get('body') or ''}".rstrip())


# -- schemes ------------------------------------------------------------------------------------------------------


def _known(config: Path | None) -> Mapping[str, Scheme]:
    from infra.config.schemes import built_in_schemes

    if config is None:
        return built_in_schemes()
    from cli.config_file import checked

    return {**built_in_schemes(), **checked(config, allow_local=True).schemes}


def _scheme(name: str, known: Mapping[str, Scheme]) -> Scheme:
    from infra.config.mistakes import nearest

    if name not in known:
        raise Failure(f"there is no scheme {name!r}{nearest(name, list(known), 'relay scheme list')}")
    return known[name]


def _json(name: str, known_scheme: Scheme) -> dict[str, Any]:
    return {"name": name, "title": known_scheme.title, "proof": known_scheme.proof, **known_scheme.row()}


def _toml(value: Any) -> str:
    """Return *value* as TOML, on one line; a list of one as that one, as relay.toml takes it, too."""
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
    """Return a float without a fraction as the integer that people write."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
