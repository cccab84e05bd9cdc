"""The small languages of QStash's headers: durations, flags, names, URLs, retry-delay expressions, resets.

Every reader here either returns a value or raises `Refused`, for every text there is.

Source: https://upstash.com/docs/qstash/api-reference
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable

DAY_S = 86_400
MAX_EXPRESSION_CHARS = 1_000
MAX_EXPRESSION_DEPTH = 50

NAME = re.compile(r"[A-Za-z0-9._-]+")
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a header's name, RFC 9110 section 5.6.2
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_DURATION = re.compile(r"(?:[0-9]{1,12}[smhd])+")
_DURATION_PART = re.compile(r"([0-9]+)([smhd])")
_UNIT_S = {"s": 1, "m": 60, "h": 3_600, "d": DAY_S}
_GO_DURATION = re.compile(r"(?:[0-9]{1,15}(?:\.[0-9]{1,15})?(?:ns|us|µs|ms|s|m|h))+")
_GO_PART = re.compile(r"([0-9.]+)(ns|us|µs|ms|s|m|h)")
_GO_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3_600.0}
_URL = re.compile(r"(?i:https?)://[\x21-\x7e]+")


class Refused(Exception):
    """A request that gets a 4xx answer: its status and the text of its ``error``."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def duration_s(text: str, field: str) -> int:
    """Read a duration such as ``1d10h30m`` as seconds; a number without a unit is refused."""
    if not _DURATION.fullmatch(text):
        raise Refused(400, f"invalid {field}: {text!r} is not a duration such as 50s, 3m or 1d10h30m")
    return sum(int(number) * _UNIT_S[unit] for number, unit in _DURATION_PART.findall(text))


def whole(text: str, field: str) -> int:
    """Read an integer that is zero or more."""
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise Refused(400, f"invalid {field}: {text!r} is not a whole number")
    return int(text)


def flag(text: str, field: str) -> bool:
    """Read a boolean as Go's ``strconv.ParseBool`` does."""
    if text in {"1", "t", "T", "TRUE", "true", "True"}:
        return True
    if text in {"0", "f", "F", "FALSE", "false", "False", ""}:
        return False
    raise Refused(400, f"invalid {field}: {text!r} is not a boolean")


def name(text: object, field: str) -> str:
    """Return *text* if it may name a URL group or an endpoint."""
    if not isinstance(text, str) or not NAME.fullmatch(text):
        raise Refused(400, f"invalid {field}: {text!r} must match {NAME.pattern}")
    return text


def destination_url(text: object, field: str = "destination url") -> str:
    """Return *text*, unchanged, if it is an absolute http(s) URL that can be called.

    No name is resolved and loopback is allowed: calling services on this machine is what the server is for.
    """
    if not isinstance(text, str) or not re.match(r"(?i:https?)://", text):
        raise Refused(400, f"invalid {field}: endpoint has invalid scheme, add http:// or https://")
    try:
        parsed = httpx.URL(text)
        urlsplit(text)
    except (httpx.InvalidURL, ValueError) as error:
        raise Refused(400, f"invalid {field}: {error}") from error
    if not _URL.fullmatch(text) or not parsed.host:
        raise Refused(400, f"invalid {field}: {text!r} is not a URL")
    return text


def request_target(url: str) -> bytes:
    """Return what stands in the request line for *url*: path and query byte for byte, fragment dropped."""
    rest = re.sub(r"^[^:]+://[^/?#]*", "", url).partition("#")[0]
    return (rest if rest.startswith("/") else f"/{rest}").encode("ascii")


def canonical(header_name: str) -> str:
    """Spell a header's name as Go does: ``x-github-event`` becomes ``X-Github-Event``."""
    return "-".join(part.capitalize() for part in header_name.split("-"))


def header_value(text: object, field: str) -> str:
    """Return *text*, stripped, if it may be sent as a header's value."""
    if not isinstance(text, str) or _CONTROL.search(text):
        raise Refused(400, f"invalid {field}: not a header value")
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise Refused(400, f"invalid {field}: not a header value") from error
    return text.strip(" \t")


def reset_delay_s(text: str, now_s: float) -> float | None:
    """Read a ``Retry-After`` or ``X-RateLimit-Reset`` header: how long to wait, in seconds.

    Args:
        text: Seconds, an RFC 1123 date, or a Go duration such as ``6m5s``.
        now_s: Unix seconds.

    Returns:
        None where the header has to be ignored: unreadable, or more than a day away.
    """
    wait = _reset_s(text.strip(), now_s)
    return None if wait is None or wait > DAY_S else max(0.0, wait)


def _reset_s(text: str, now_s: float) -> float | None:
    if re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,15})?", text):
        return float(text)
    if _GO_DURATION.fullmatch(text):
        return sum(float(number) * _GO_UNIT_S[unit] for number, unit in _GO_PART.findall(text))
    try:
        date = datetime.strptime(text, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    except ValueError:
        return None
    return date.timestamp() - now_s


def evaluate(expression: str, retried: int) -> float:
    """Return the delay that ``Upstash-Retry-Delay`` asks for, in milliseconds, within 0 and a day.

    Args:
        expression: Arithmetic over numbers, ``retried`` and the functions of `_FUNCTIONS`; for instance
            ``pow(2, retried) * 1000``.
        retried: 0 before the first retry.

    Raises:
        Refused: The expression is not one; whether it is does not depend on *retried*.

    A result that is no number (0/0), or is infinite, counts as a day: better late than hammering.
    """
    if len(expression) > MAX_EXPRESSION_CHARS:
        raise Refused(400, "invalid Upstash-Retry-Delay: the expression is too long")
    value = _Expression(expression, retried).value()
    return DAY_S * 1000.0 if math.isnan(value) else min(max(value, 0.0), DAY_S * 1000.0)


_FUNCTIONS: dict[str, tuple[int, int, Callable[..., float]]] = {
    "pow": (2, 2, math.pow),
    "sqrt": (1, 1, math.sqrt),
    "abs": (1, 1, abs),
    "exp": (1, 1, math.exp),
    "floor": (1, 1, math.floor),
    "ceil": (1, 1, math.ceil),
    "round": (1, 1, round),
    "min": (1, 99, lambda *values: min(values)),
    "max": (1, 99, lambda *values: max(values)),
}
_LEXEME = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+|[A-Za-z_]+|[-+*/(),])\s*", re.ASCII)


class _Expression:
    """A recursive-descent reader that computes while it reads; nothing is ever handed to `eval`."""

    def __init__(self, text: str, retried: int) -> None:
        self._retried = retried
        self._lexemes = self._split(text)
        self._depth = 0

    @staticmethod
    def _split(text: str) -> list[str]:
        lexemes, position = [], 0
        while position < len(text):
            found = _LEXEME.match(text, position)
            if not found:
                raise Refused(400, f"invalid Upstash-Retry-Delay: unexpected {text[position]!r}")
            lexemes.append(found[1])
            position = found.end()
        return [*lexemes, ""]

    def value(self) -> float:
        result = self._sum()
        if self._next():
            raise self._unexpected()
        return result

    def _next(self) -> str:
        return self._lexemes[0]

    def _take(self, *wanted: str) -> str:
        if self._next() not in wanted:
            raise self._unexpected()
        return self._lexemes.pop(0)

    def _unexpected(self) -> Refused:
        return Refused(400, f"invalid Upstash-Retry-Delay: unexpected {self._next() or 'end'!r}")

    def _sum(self) -> float:
        self._depth += 1
        if self._depth > MAX_EXPRESSION_DEPTH:
            raise Refused(400, "invalid Upstash-Retry-Delay: the expression is nested too deeply")
        result = self._product()
        while self._next() in ("+", "-"):
            sign = 1 if self._take("+", "-") == "+" else -1
            result += sign * self._product()
        self._depth -= 1
        return result

    def _product(self) -> float:
        result = self._factor()
        while self._next() in ("*", "/"):
            if self._take("*", "/") == "*":
                result *= self._factor()
            else:
                divisor = self._factor()
                # As IEEE 754 (and so Go) has it, where Python would raise.
                result = result / divisor if divisor else math.nan if not result else math.inf * result
        return result

    def _factor(self) -> float:
        negative = False
        while self._next() in ("+", "-"):
            negative ^= self._take("+", "-") == "-"
        value = self._atom()
        return -value if negative else value

    def _atom(self) -> float:
        lexeme = self._next()
        if lexeme == "(":
            self._take("(")
            value = self._sum()
            self._take(")")
            return value
        if lexeme == "retried":
            return float(self._retried) if self._take("retried") else 0.0
        if lexeme in _FUNCTIONS:
            return self._call(self._take(lexeme))
        if lexeme[:1] in tuple(".0123456789"):
            return float(self._take(lexeme))
        raise self._unexpected()

    def _call(self, function: str) -> float:
        fewest, most, compute = _FUNCTIONS[function]
        self._take("(")
        arguments = [self._sum()]
        while self._take(",", ")") == ",":
            arguments.append(self._sum())
        if not fewest <= len(arguments) <= most:
            raise Refused(400, f"invalid Upstash-Retry-Delay: wrong number of arguments of {function}")
        try:
            return float(compute(*arguments))
        except OverflowError:
            return math.inf
        except ValueError:
            return math.nan
