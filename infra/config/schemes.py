"""Signature schemes in relay.toml and schemes.toml: the model of a row, and the mistakes in one.

A row that the engine can't read, or that would prove nothing, is refused here, when a configuration is read: so the
functions needn't check it.
"""

from __future__ import annotations

import re
import tomllib
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from relay.verification.custom import SPECIALS
from relay.verification.handshakes import NAMES as HANDSHAKES
from relay.verification.language import PLACE
from relay.verification.scheme import (
    ALGORITHMS,
    HASHES,
    HMACS,
    JWTS,
    PUBLIC_KEYS,
    TOKEN,
    TYPE,
    Row,
)
from relay.verification.secret import KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from infra.config.mistakes import Wrong

_NEVER_FORWARDED = ("authorization", "proxy-authorization", "cookie", "host", "content-length", "connection")
_BUILT_IN = Path(__file__).with_name("schemes.toml")
_KEYS = (*KEYS, *(name for name, special in SPECIALS.items() if special.find_jwk))
_ALGORITHMS = (*ALGORITHMS, *(name for name, special in SPECIALS.items() if special.verify))
_SIGNED = tuple(name for name, special in SPECIALS.items() if special.signs)
TIME_FORMATS = ("s", "ms", "iso", "iso-utc")
_BYTES = ("hex", "HEX", "base64", "base64url")
_FIELDS = ("body", "time", "url", "method", "secret")


class Table(BaseModel):
    """A table of relay.toml: no setting that it doesn't know, and none that changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _place(text: str) -> str:
    if not PLACE.fullmatch(text):
        raise ValueError('must be a header\'s name, or "body:", "form:" or "query:" and a path like "body:data.id"')
    return text


def _header_pattern(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9*-]+", text):
        raise ValueError('must be a header\'s name, "*" standing for any characters, like "X-GitHub-*"')
    caught = next((name for name in _NEVER_FORWARDED if fnmatchcase(name, text.lower())), None)
    if caught:
        raise ValueError(f"would forward '{caught}': name the source's own headers")
    return text


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{it}`" for it in names)


def _handshake(text: str | None) -> str | None:
    if text is not None and text not in HANDSHAKES:
        raise ValueError(f"must be one of {', '.join(HANDSHAKES)}")
    return text


Place = Annotated[str, AfterValidator(_place)]
HeaderPattern = Annotated[str, AfterValidator(_header_pattern)]
_ONE_IS_A_LIST = BeforeValidator(lambda it: [it] if isinstance(it, str) else it)
Several = Annotated[list[str], _ONE_IS_A_LIST]
Places = Annotated[list[Place], _ONE_IS_A_LIST]
HeaderPatterns = Annotated[list[HeaderPattern], _ONE_IS_A_LIST]


class Acknowledgement(Table):
    """`answer`: what acknowledges an event, where the source wants something else than the relay's own answer."""

    status: Annotated[int, Field(ge=200, le=299)]
    body: str = ""
    content_type: str = ""


class Scheme(Table):
    """`[schemes.x]`: a signature scheme, the same row as the built-in ones."""

    title: Annotated[str, Field(description="Whose scheme it is.")] = ""
    proof: Annotated[
        Literal["sdk", "library", "documentation"] | None,
        Field(description="What a built-in scheme was proven against."),
    ] = None
    signature: Annotated[
        Several,
        Field(description="Where the signature stands and what is around it; any of several."),
    ] = []
    separator: Annotated[
        str | None, Field(min_length=1, max_length=2, description="What stands between several items of the signature.")
    ] = None
    algorithm: Annotated[Several, Field(description=f"How it signs: {_listed(_ALGORITHMS)}; several only of JWT.")] = [
        "hmac-sha256"
    ]
    signs: Annotated[Several, Field(description=f"What is signed; any of several.  Or one of {_listed(_SIGNED)}.")] = []
    key: Annotated[str, Field(description="How the key is made of the secret.")] = "utf8"
    secret: Annotated[Several, Field(description="The parts of the secret that may be the key, by name.")] = []
    time: Annotated[Place | None, Field(description="Where the signed time stands, if not among the signatures.")] = (
        None
    )
    time_format: Annotated[
        str, Field(description="`s` or `ms` since the epoch, `iso` with a zone, `iso-utc` with or without.")
    ] = "s"
    tolerance_s: Annotated[
        list[Annotated[float, Field(ge=0)]] | None,
        Field(
            min_length=2,
            max_length=2,
            description="`[past, future]`: how old, and how far in the future, the signed time may be.",
        ),
    ] = None
    requires: Annotated[
        dict[Place, str], Field(description='Places, and what must stand there: `{ X-Version = "1" }`.')
    ] = {}
    claims: Annotated[
        dict[str, str], Field(description='Claims of a JWT, and what each must be: `{ iss = "acme" }`.')
    ] = {}
    needs: Annotated[Several, Field(description="Claims of a JWT that must be there.")] = []
    leeway_s: Annotated[float, Field(ge=0, description="What is forgiven on a JWT's `exp`, `nbf` and `iat`.")] = 0
    id: Annotated[Places, Field(description="The source's own id of an event; several are joined by colons.")] = []
    type: Annotated[Places, Field(description="The event type; several are joined by dots.")] = [*TYPE]
    handshake: Annotated[
        str | None,
        AfterValidator(_handshake),
        Field(description=f"The handshake that is answered: {_listed(HANDSHAKES)}."),
    ] = None
    forward: Annotated[
        HeaderPatterns,
        Field(description="Further headers that destinations get; those named above they get anyway."),
    ] = []
    timeout_s: Annotated[float, Field(ge=1, le=100, description="How long the source waits for an answer.")] = 10
    retries_for_s: Annotated[
        int, Field(ge=0, description="For how long the source sends an event again; 0: it never does by itself.")
    ] = 86_400
    answer: Annotated[
        Acknowledgement | None,
        Field(description='What acknowledges an event: `{ status = 200, body = "ok", content_type = "text/plain" }`.'),
    ] = None
    json_only: Annotated[
        bool, Field(description="Whether a body that is no JSON is refused, since the source's always are.")
    ] = False
    bare: Annotated[bool, Field(description="Whether refusals have an empty body.")] = False

    def row(self) -> dict[str, Any]:
        """Return the row as the functions read it: what isn't said is left out, and so is what is for people."""
        return self.model_dump(exclude_defaults=True, exclude={"title", "proof"})


@cache
def built_in_schemes() -> Mapping[str, Scheme]:
    """Return the rows of schemes.toml by name."""
    table = tomllib.loads(_BUILT_IN.read_text(encoding="utf-8"))
    return {name: Scheme.model_validate(row) for name, row in table.items()}


# -- mistakes of a row -----------------------------------------------------------------------------------------------


def mistakes(row: Mapping[str, Any]) -> list[Wrong]:
    """Return what is wrong with *row*, as it stands in the flat configuration; the first kind that there is."""
    try:
        scheme = Row.of(row)
    except ValueError as error:
        key, _, words = str(error).partition(" ")
        return [(key, words)]
    return list(_words(scheme)) or list(_proof(scheme))


def _words(row: Row) -> Iterator[Wrong]:
    """Yield the words that the engine doesn't know."""
    algorithms = set(row.algorithms)
    if not algorithms <= set(_ALGORITHMS) or (len(row.algorithms) > 1 and not algorithms <= set(JWTS)):
        yield "algorithm", f"must be one of {', '.join(_ALGORITHMS)}"
    elif not row.spots and not row.is_special_as_a_whole:
        yield "signature", "is missing: say where it stands, like 'X-Signature: {hex}'"
    if row.custom and row.custom not in _SIGNED:
        yield "signs", f"must be a template, or one of {', '.join(_SIGNED)}"
    if row.key not in _KEYS:
        yield "key", f"must be one of {', '.join(_KEYS)}"
    if row.time_format not in TIME_FORMATS:
        yield "time_format", f"must be one of {', '.join(TIME_FORMATS)}"
    for name in {field for it in row.signs for field in it.fields if field.isalpha()} - {*_FIELDS}:
        for near in get_close_matches(name, _FIELDS, 1):
            yield "signs", f"has a field {{{name}}}: did you mean {{{near}}}?"


def _proof(row: Row) -> Iterator[Wrong]:
    """Yield what keeps a request of *row* from being verified, or a verified one from proving anything."""
    algorithm = row.algorithms[0]
    spelled = ("text", "base64") if algorithm == TOKEN else ("jwt",) if algorithm in JWTS else _BYTES
    for spot in row.spots:
        if spot.encoding not in spelled:
            yield "signature", f"has {{{spot.encoding}}}, and {algorithm} is written as {{{'} or {'.join(spelled)}}}"
    if any(it.startswith("claim:") for place in row.id for it in place.split("|")) and algorithm not in JWTS:
        yield "id", "is a claim, and no JWT signs the request"
    timed = row.time is not None or any("time" in it.groupindex for spot in row.spots for it in spot.items)
    if row.tolerance_s is not None and not timed:
        yield "tolerance_s", "needs a signed time: say time, or {time} in signature"
    if algorithm in {*HMACS, *HASHES, *PUBLIC_KEYS} and not row.custom:
        yield from _template(row, timed=timed)
    if algorithm == TOKEN and not all(any(f.startswith("secret") for f in it.fields) for it in row.signs):
        yield "signs", "must hold {secret}: without it anybody knows the token"


def _template(row: Row, *, timed: bool) -> Iterator[Wrong]:
    """Yield what is wrong with what is signed, where templates say it."""
    fields = [set(it.fields) for it in row.signs]
    if row.algorithms[0] in HASHES and not all(any(f.startswith("secret") for f in it) for it in fields):
        yield "signs", f"must hold {{secret}}: without it anybody can make the {row.algorithms[0]}"
    if not all(any(_varies(f) for f in it) for it in fields):
        yield "signs", "must hold {body}, or what else varies: else one signature is right for every request"
    if any("time" in it for it in fields) and not timed:
        yield "signs", "has {time}, and nothing says where it stands: say time, or {time} in signature"
    in_body = row.time is not None and row.time.startswith("body:") and row.signs_body
    if row.tolerance_s is not None and timed and not in_body and not all("time" in it for it in fields):
        yield "tolerance_s", "needs the time to be signed: put {time} into signs"


def _varies(field: str) -> bool:
    return not field.startswith(("secret", "url")) and field != "method"
