"""A signature scheme as a row, and what follows from it.  Pure: it reads rows, not requests.

docs/schemes.md has every key of a row; `relay.verification.language` the templates in it.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from relay.verification.language import OWN_FIELDS, RequestTemplate, Spot
from relay.verification.secret import KEYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from relay.verification.custom import Special

HMACS = {"hmac-sha1": "sha1", "hmac-sha256": "sha256", "hmac-sha512": "sha512"}
HASHES = {"sha256": hashlib.sha256}  # of a text that holds the secret
PUBLIC_KEYS = ("ed25519", "ecdsa-p256-sha256")
TOKEN = "token"  # noqa: S105  # the name of a way: the value itself is compared
JWTS = {f"jwt-{name.lower()}": name for name in ("HS256", "HS384", "HS512", "ES256")}
ALGORITHMS = (*HMACS, *HASHES, *PUBLIC_KEYS, TOKEN, *JWTS)  # what a row can say; others are special

TYPE = ("X-Event-Type|body:type",)  # where an event's type stands, where a row doesn't say


@dataclass(frozen=True)
class Row:
    """One signature scheme, ready to be used.

    Attributes:
        spots: Where signatures stand.  Several with as many *parts* go together one by one.
        algorithms: One of `ALGORITHMS`, or a special scheme; several only of JWT.  A request never chooses another.
        signs: What is signed: any of these; none where a special scheme says it, whose name *custom* is.
        parts: The parts of the secret that may be the key, by name.
        tolerance_s: How old and how far in the future the signed time may be; None: not looked at.
        requires: Place -> what must stand there.
        claims: Claim -> what it must be; *leeway_s* is forgiven on `exp` and `nbf`, *needs* must be there.
        id: Places whose values, joined by colons, are the source's own id of an event; none: it has none.
        type: Places whose values, joined by dots, are the event type; absent ones are left out.
        forward: Patterns of further headers that destinations get.
        timeout_s: How long the source waits for an answer.
        retries_for_s: For how long after the first time the source sends an event again; 0: it never does.
        sends_again: Whether it is known to.
        json_only: Whether its bodies are always JSON, so that nothing else is one.
        answer: Status, body and content type with which the source wants its events acknowledged; None: the relay's.
        bare: Refusals have no body.
    """

    spots: tuple[Spot, ...]
    separator: str | None
    algorithms: tuple[str, ...]
    signs: tuple[RequestTemplate, ...]
    custom: str | None
    key: str
    parts: tuple[str, ...]
    time: str | None
    time_format: str
    tolerance_s: tuple[float, float] | None
    requires: tuple[tuple[str, RequestTemplate], ...]
    claims: tuple[tuple[str, RequestTemplate], ...]
    needs: tuple[str, ...]
    leeway_s: float
    id: tuple[str, ...]
    type: tuple[str, ...]
    handshake: str | None
    forward: tuple[str, ...]
    timeout_s: float
    retries_for_s: int
    sends_again: bool
    json_only: bool
    answer: tuple[int, str, str] | None
    bare: bool

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Row:
        """Return the row that *row*, as it stands in the flat configuration, says.

        Raises:
            ValueError: A template can't be read; the message begins with its key.
        """
        algorithms = _several(row.get("algorithm") or "hmac-sha256")
        signs = _several(row.get("signs") or ("{secret}" if algorithms == (TOKEN,) else "{body}"))
        custom = signs[0] if signs[0].startswith("@") else None
        separator = row.get("separator")
        answer = row.get("answer")
        with _naming("signature"):
            spots = tuple(Spot.of(it, separator) for it in _several(row.get("signature") or []))
        with _naming("signs"):
            templates = () if custom else tuple(map(RequestTemplate.of, signs))
        with _naming("requires"):
            requires = tuple((place, RequestTemplate.of(text)) for place, text in (row.get("requires") or {}).items())
        with _naming("claims"):
            claims = tuple((name, RequestTemplate.of(text)) for name, text in (row.get("claims") or {}).items())
        tolerance = row.get("tolerance_s")
        return cls(
            spots=spots,
            separator=separator,
            algorithms=algorithms,
            signs=templates,
            custom=custom,
            key=row.get("key") or "utf8",
            parts=_several(row.get("secret") or []),
            time=row.get("time"),
            time_format=row.get("time_format") or "s",
            tolerance_s=(tolerance[0], tolerance[1]) if tolerance else None,
            requires=requires,
            claims=claims,
            needs=_several(row.get("needs") or []),
            leeway_s=row.get("leeway_s") or 0,
            id=_several(row.get("id") or []),
            type=_several(row.get("type", TYPE)),
            handshake=row.get("handshake"),
            forward=tuple(it.lower() for it in row.get("forward") or []),
            timeout_s=row.get("timeout_s") or 10,
            retries_for_s=row.get("retries_for_s", 86_400),
            sends_again=bool(row.get("retries_for_s")),
            json_only=bool(row.get("json_only")),
            answer=(answer["status"], answer.get("body", ""), answer.get("content_type", "")) if answer else None,
            bare=bool(row.get("bare")),
        )

    @cached_property
    def special(self) -> Special | None:
        """What no row can say of the scheme; None where the row says all."""
        algorithm = self.algorithms[0]
        if algorithm in JWTS:
            name = None if self.key in KEYS else self.key
        else:
            name = self.custom if algorithm in ALGORITHMS else algorithm
        if name is None:
            return None
        from relay.verification.custom import SPECIALS

        return SPECIALS.get(name)

    @property
    def is_special_as_a_whole(self) -> bool:
        """Tell whether a function verifies each request by itself, so that the row says nothing of a signature."""
        return self.special is not None and self.special.verify is not None

    @property
    def is_secret_itself(self) -> bool:
        """Tell whether what stands at the signature's place is itself a secret, which must not be kept or passed on."""
        return self.algorithms[0] == TOKEN

    @property
    def needs_public_keys(self) -> bool:
        """Tell whether it takes `cryptography` to verify, which an asset needn't hold otherwise."""
        special = self.special is not None and self.special.needs_public_keys
        return special or bool({*PUBLIC_KEYS, "jwt-es256"} & set(self.algorithms))

    @property
    def unpacks(self) -> bool:
        """Tell whether the signature covers what is in a body that is packed."""
        return any(field == "body_gunzipped" for it in self.signs for field in it.fields)

    @property
    def signs_body(self) -> bool:
        """Tell whether the signature covers the body."""
        if self.algorithms[0] in JWTS:
            return any("body_sha256" in field for _, it in self.claims for field in it.fields)
        if self.is_secret_itself:
            return False
        if self.special is not None:
            return self.special.signs_body
        return any(field in {"body", "body_ascii", "body_gunzipped"} for it in self.signs for field in it.fields)

    @property
    def proves_later(self) -> bool:
        """Tell whether a request may be kept and proven later: its body has a MAC or a signature, no secret is in it.

        What is proven by a token or a JWT holds what opens the door, and what a function of its own verifies takes more
        than its bytes.
        """
        own = (*HMACS, *HASHES, *PUBLIC_KEYS)
        return self.algorithms[0] in own and self.signs_body and not any(map(_holds_secret, self.requires))

    @property
    def signs_url(self) -> bool:
        """Tell whether the signature covers the URL, which must then be known exactly."""
        fields = [field for it in (*self.signs, *(it for _, it in self.claims)) for field in it.fields]
        special = self.special is not None and self.special.signs_url
        return special or any(field.startswith("url") for field in fields)

    @property
    def signs_id(self) -> bool:
        """Tell whether the signature covers the source's id of an event, so that old bytes can't get a new one."""
        signed = {field.lower() for it in self.signs for field in it.fields}
        covered = ("claim:", *(("body:", "form:") if self.signs_body else ()))
        return all(
            place.lower() in signed or all(it.startswith(covered) or it.lower() in signed for it in place.split("|"))
            for place in self.id
        )

    @property
    def secret_headers(self) -> tuple[str, ...]:
        """Patterns of the headers that hold a token, a JWT or a part of the secret, in lower case: nobody gets them."""
        places = [place for place, it in self.requires if any(name.startswith("secret") for name in it.fields)]
        if self.is_secret_itself or self.algorithms[0] in JWTS:
            places += [it.place for it in self.spots]
        named = (it.lower() for place in places for it in place.split("|"))
        return ("authorization", *(it for it in named if ":" not in it))

    @property
    def secret_parameters(self) -> frozenset[str]:
        """The parameters of the query that prove who sent a request, or hold a secret: nobody else gets them."""
        places = [it.place for it in self.spots]
        places += [place for place, it in self.requires if any(name.startswith("secret") for name in it.fields)]
        return _parameters(places)

    @property
    def passing_parameters(self) -> frozenset[str]:
        """The parameters of the query that are others each time a request is sent: signatures, times and nonces."""
        signed = [field for it in self.signs for field in it.fields]
        return self.secret_parameters | _parameters([*signed, *([self.time] if self.time else [])])

    @property
    def headers(self) -> frozenset[str]:
        """The headers that the row names, in lower case, but for those that are secrets: destinations get them."""
        places = [*self.id, *self.type, *([self.time] if self.time else [])]
        places += [field for it in self.signs for field in it.fields if not OWN_FIELDS.fullmatch(field)]
        if not self.is_secret_itself and self.algorithms[0] not in JWTS:
            places += [it.place for it in self.spots]
        named = {it.lower() for place in places for it in place.split("|") if ":" not in it and "@" not in it}
        return frozenset(it for it in named if it != "authorization" and not it.startswith("upstash-"))  # QStash's own


def _holds_secret(required: tuple[str, RequestTemplate]) -> bool:
    return any(field.startswith("secret") for field in required[1].fields)


def _parameters(places: Iterable[str]) -> frozenset[str]:
    """Return the parameters of the query that *places* name."""
    alternatives = (it for place in places for it in place.split("|"))
    return frozenset(it.removeprefix("query:") for it in alternatives if it.startswith("query:"))


@contextmanager
def _naming(key: str) -> Iterator[None]:
    """Put the key that is wrong before what is wrong with it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{key} {error}") from None


def _several(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
