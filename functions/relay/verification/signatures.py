"""The engine that verifies a request by its scheme's row.  It raises one error, whatever the request is.

Whatever a row says, the engine compares in constant time, checks how old the signed time is, tries several secrets, and
lets no request choose its algorithm.  What no row can say is in `custom`.
"""

from __future__ import annotations

import hmac
import re
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from relay.errors import SignatureError, UnusableSecret, UpstreamError
from relay.verification.presented import presented
from relay.verification.scheme import HASHES, HMACS, JWTS, TOKEN
from relay.verification.secret import Secret, is_one_of, key_of
from relay.verification.templates import rendered_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from relay.verification.language import RequestTemplate, Spot
    from relay.verification.presented import PresentedSignature
    from relay.verification.request import InboundRequest
    from relay.verification.scheme import Row

_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?P<zone>Z|[+-][0-9]{2}:[0-9]{2})?"
)
_WHOLE_NUMBER = re.compile(r"[0-9]{1,15}")


def check_signature(
    row: Row,
    request: InboundRequest,
    secrets: Sequence[Secret],
    *,
    at: float,
    fetch: Callable[..., bytes] | None = None,
) -> None:
    """Raise unless one of *secrets* signed *request*, and lately.

    Args:
        row: The source's scheme.
        request: The request.
        secrets: The source's current signing secrets; any may have signed.
        at: Now, in epoch seconds.
        fetch: Returns the bytes at an https URL, to which its second argument is posted as JSON; for schemes whose
            certificate or key comes from their owner.

    Raises:
        SignatureError: For every other input; names the failed check.  No other error leaves this function, but what
            *fetch* raises.
    """
    refused: SignatureError = UnusableSecret("this source has no signing secret yet", reason="no_secret")
    failed: UpstreamError | None = None
    request.unpacks = row.unpacks
    _check_json(row, request)
    for secret in secrets:
        try:
            _verify(row, request, secret, at, fetch)
        except SignatureError as error:
            refused = max(refused, error, key=_says)
        except UpstreamError as error:  # another secret may need nothing that must be fetched
            failed = error
        else:
            return
    raise failed or refused


def _check_json(row: Row, request: InboundRequest) -> None:
    if row.json_only and request.body and not isinstance(request.json, dict | list):
        raise SignatureError("the body is no JSON, as this scheme's always are", reason="malformed_header")


def _says(error: SignatureError) -> int:
    """Return how much *error* says, in rising order: the secret is unusable, it didn't sign, another check failed."""
    if isinstance(error, UnusableSecret):
        return 0 if error.reason == "no_secret" else 1
    return 2 if error.reason in {"bad_signature", "wrong_issuer", "wrong_token"} else 3


def _verify(row: Row, request: InboundRequest, secret: Secret, at: float, fetch: Callable[..., bytes] | None) -> None:
    for place, wanted in row.requires:
        _check_required(place, wanted, request, secret)
    time: str | None = None
    if row.special is not None and row.special.verify is not None:
        row.special.verify(request, secret, at, fetch)
    else:
        given, time = presented(row, request)
        if row.algorithms[0] in JWTS:
            from relay.verification.jwt import verify_token

            token = given[0].value.decode(errors="replace")
            request.claims = verify_token(row, token, request, secret, at, fetch)
        elif not _matches(row, request, secret, given, time):
            reason = "wrong_token" if row.is_secret_itself else "bad_signature"
            raise SignatureError(f"{row.spots[0].place} doesn't match", reason=reason)
    if row.tolerance_s is not None:
        check_age(_moment(row, request, time), row.tolerance_s, at)


def check_form(row: Row, request: InboundRequest, *, at: float) -> None:
    """Raise unless *request* has the form of a verified one, as far as that shows without a secret.

    Args:
        at: Now, in epoch seconds.

    Raises:
        SignatureError: A header is missing or malformed, or the signed time is not lately.
    """
    nobody = Secret("nobody's")
    request.unpacks = row.unpacks
    _check_json(row, request)
    for place, wanted in row.requires:
        _check_required(place, wanted, request, nobody)
    _, time = presented(row, request)
    with suppress(UnusableSecret):  # a part of it is signed, too
        next(iter(_messages(row, request, nobody, "nobody's", time)), None)
    if row.tolerance_s is not None:
        check_age(_moment(row, request, time), row.tolerance_s, at)


def check_age(moment: float, tolerance_s: tuple[float, float], at: float) -> None:
    """Raise unless *moment* is at most *tolerance_s* (past, future) away from *at*; all in seconds."""
    age = at - moment
    if age > tolerance_s[0]:
        raise SignatureError(f"the signed time is {age:.0f} s old", reason="expired_timestamp")
    if -age > tolerance_s[1]:
        raise SignatureError(f"the signed time is {-age:.0f} s in the future", reason="future_timestamp")


# -- what was signed ----------------------------------------------------------------------------------------------


def _check_required(place: str, wanted: RequestTemplate, request: InboundRequest, secret: Secret) -> None:
    value = request.find(place)
    if value is None:
        raise SignatureError(f"{place} is missing", reason="missing_header")
    if not is_one_of(value.encode(errors="replace"), rendered_for(wanted, request, secret)):
        raise SignatureError(f"{place} isn't what it must be", reason="wrong_issuer")


def _matches(
    row: Row, request: InboundRequest, secret: Secret, given: list[PresentedSignature], time: str | None
) -> bool:
    """Tell whether *secret* made one of *given*.

    The first match ends the search: which message and signature matched is no secret.
    """
    paired = len(row.spots) == len(row.parts) > 1
    usable = False
    # A token may be made of parts none of which is a key.
    for index, text in secret.key_texts(row.parts) or ([(0, "")] if row.is_secret_itself else []):
        key = b"" if row.is_secret_itself else key_of(row.key, text)
        if key is None:
            continue
        usable = True
        for message in _messages(row, request, secret, text, time):
            for signature in given:
                if (paired and signature.spot != index) or not _is_part(signature, row.spots[signature.spot], secret):
                    continue
                if _made(row.algorithms[0], key, message, signature.value):
                    request.signed = None if row.is_secret_itself else message
                    return True
    if not usable:
        raise UnusableSecret("the signing secret isn't of the form that the scheme wants: set it again")
    return False


def _made(algorithm: str, key: bytes, message: bytes, signature: bytes) -> bool:
    if algorithm in HMACS:
        return hmac.compare_digest(hmac.digest(key, message, HMACS[algorithm]), signature)
    if algorithm in HASHES:
        return hmac.compare_digest(HASHES[algorithm](message).digest(), signature)
    if algorithm == TOKEN:
        return hmac.compare_digest(message, signature)
    from relay.verification.public_keys import signed

    return signed(algorithm, key, message, signature)


def _is_part(given: PresentedSignature, spot: Spot, secret: Secret) -> bool:
    if spot.part is None:
        return True
    wanted = secret.part(spot.part)
    return wanted is not None and given.part is not None and hmac.compare_digest(given.part.encode(), wanted.encode())


def _messages(row: Row, request: InboundRequest, secret: Secret, key_text: str, time: str | None) -> Iterable[bytes]:
    if row.special is not None and row.special.signs is not None:
        return row.special.signs(request, secret, key_text)
    if row.time:
        time = request.find(row.time)
        if time is None:
            raise SignatureError(f"{row.time} is missing", reason="missing_header")
    return (text for it in row.signs for text in rendered_for(it, request, secret, key_text=key_text, time=time))


# -- when ---------------------------------------------------------------------------------------------------------


def _moment(row: Row, request: InboundRequest, time: str | None) -> float:
    """Return the signed time, in epoch seconds."""
    if row.time:
        time = request.find(row.time)
    place = row.time or row.spots[0].place  # a row with a tolerance has the one or the other
    if time is None:
        raise SignatureError(f"{place} has no time", reason="missing_header")
    moment = moment_of(time, row.time_format)
    if moment is None:
        raise SignatureError(f"{place} has no time that can be read", reason="malformed_header")
    return moment


def moment_of(text: str, time_format: str) -> float | None:
    """Return the epoch seconds of *text*, a time in *time_format*; None where it is none.

    `s` and `ms` are since the epoch; `iso` has a zone, and `iso-utc` may leave it out.
    """
    if time_format in {"iso", "iso-utc"}:
        found = _ISO.fullmatch(text)
        if found is None or not (found["zone"] or time_format == "iso-utc"):
            return None
        try:
            return datetime.fromisoformat(text if found["zone"] else text + "Z").timestamp()
        except (ValueError, OverflowError):
            return None
    if not _WHOLE_NUMBER.fullmatch(text):
        return None
    return int(text) / (1000 if time_format == "ms" else 1)
