"""The small languages of QStash's headers: durations, flags, names, URLs, retry-delay expressions, resets.

Every reader here either returns a value or raises `Refused`, for every text there is.

Source: https://upstash.com/docs/qstash/api-reference
"""

from __future__ import annotations

import ast
import math
import operator
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DAY_S = 86_400
WEEK_S = 7 * DAY_S
MAX_EXPRESSION_CHARS = 1_000

NAME = re.compile(r"[A-Za-z0-9._-]+")
ENDPOINT_NAME = re.compile(r"[A-Za-z0-9._ -]+")
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a header's name, RFC 9110 section 5.6.2
_NO_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")  # surrogates: what came was not UTF-8
_DURATION = re.compile(r"(?:[0-9]{1,12}[smhd])+")
_UNIT_S = {"s": 1, "m": 60, "h": 3_600, "d": DAY_S}
_GO_PART = r"([0-9]{1,15}(?:\.[0-9]{1,15})?)(ns|us|µs|ms|s|m|h)"
_GO_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3_600.0}
_URL = re.compile(r"(?i:https?)://[\x21-\x7e]+")


class Refused(Exception):
    """A request that gets a 4xx answer: its status, the text of its ``error``, and headers to go with it."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers


def rate_limited(quota: Literal["daily", "burst"], limit: int | None, reset_s: int) -> Refused:
    """Return the 429 of a quota that is used up until *reset_s*, in Unix seconds.

    Source: https://upstash.com/docs/qstash/api/api-ratelimiting
    """
    prefix = "RateLimit" if quota == "daily" else "Burst-RateLimit"
    figures = {"Limit": limit or 0, "Remaining": 0, "Reset": reset_s}
    text = f"{quota} rate limit exceeded, current limit: {limit}"
    return Refused(429, text, {f"{prefix}-{name}": str(figure) for name, figure in figures.items()})


def unresolved(url: str) -> str:
    """Return what is said of a *url* whose host has no address."""
    return f"unable to resolve host: lookup {urlsplit(url).hostname}: no such host"


def within(value: int, limit: int | None, quota: str) -> int:
    """Return *value*, if it is not above the *limit* that an account has of a *quota*; None: it has none."""
    if limit is not None and value > limit:
        raise Refused(412, f"quota {quota} exceeded, current limit: {limit}")
    return value


def duration_s(text: str, field: str) -> int:
    """Read a duration such as ``1d10h30m`` as seconds; a number without a unit is refused."""
    if not _DURATION.fullmatch(text):
        raise Refused(400, f"invalid {field}: {text!r} is not a duration such as 50s, 3m or 1d10h30m")
    return sum(int(number) * _UNIT_S[unit] for number, unit in re.findall(r"([0-9]+)([smhd])", text))


def whole(text: str, field: str) -> int:
    """Read an integer that is zero or more."""
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise Refused(400, f"invalid {field}: {text!r} is not a whole number")
    return int(text)


def flag(text: str, field: str) -> bool:
    """Read a boolean as Go's ``strconv.ParseBool`` does; nothing is false."""
    if text in {"1", "t", "T", "TRUE", "true", "True"}:
        return True
    if text in {"0", "f", "F", "FALSE", "false", "False", ""}:
        return False
    raise Refused(400, f"invalid {field}: {text!r} is not a boolean")


def name(text: object, field: str, pattern: re.Pattern[str] = NAME) -> str:
    """Return *text* if it may name a URL group, a queue or a schedule; an endpoint has a pattern of its own."""
    if not isinstance(text, str) or not pattern.fullmatch(text):
        raise Refused(400, f"invalid {field}: {text!r} must match {pattern.pattern}")
    return text


@dataclass(frozen=True)
class FlowControl:
    """The limits that a publish gives its flow-control key; None: no limit."""

    key: str
    parallelism: int | None
    rate: int | None
    period_s: int


def flow_control(key: str | None, text: str | None) -> FlowControl | None:
    """Read the two ``Upstash-Flow-Control`` headers: a key, and for instance ``parallelism=3, rate=4, period=2s``."""
    if not key and not text:
        return None
    if not key or not text:
        raise Refused(400, "Upstash-Flow-Control-Key and Upstash-Flow-Control-Value are required together")
    field, limits = "Upstash-Flow-Control-Value", dict[str, int]()
    for part in text.split(","):
        name, _, value = (side.strip() for side in part.partition("="))
        if name not in ("parallelism", "rate", "period") or name in limits:
            raise Refused(400, f"invalid {field}: {part.strip()!r} is none of parallelism=, rate= and period=")
        read = duration_s if name == "period" and not value.isdecimal() else whole
        limits[name] = read(value, f"{field} {name}")
        if not limits[name]:
            raise Refused(400, f"invalid {field}: {name} must be at least 1")
    if limits.keys() <= {"period"}:
        raise Refused(400, f"invalid {field}: parallelism or rate is required")
    if limits.setdefault("period", 1) > WEEK_S:
        raise Refused(400, f"invalid {field}: period must be at most one week")
    return FlowControl(key, limits.get("parallelism"), limits.get("rate"), limits["period"])


@dataclass(frozen=True)
class Redaction:
    """What of a message nobody is shown; header names in lower case."""

    body: bool = False
    every_header: bool = False
    headers: frozenset[str] = frozenset()

    def hides(self, header_name: str) -> bool:
        """Return whether the value of a header is not shown."""
        return self.every_header or header_name.lower() in self.headers


def redaction(text: str) -> Redaction:
    """Read ``Upstash-Redact-Fields``: ``body``, ``header`` for all of them, ``header[Name]``; ``headers`` as well."""
    fields, names = set[str](), set[str]()
    for field in filter(None, (part.strip() for part in text.split(","))):
        if named := re.fullmatch(r"headers?\[\s*([^\[\]]+?)\s*\]", field):
            names.add(named[1].lower())
        elif field in ("body", "header", "headers"):
            fields.add(field)
        else:
            raise Refused(400, f"invalid Upstash-Redact-Fields: {field!r} is none of body, header and header[Name]")
    return Redaction("body" in fields, not fields <= {"body"}, frozenset(names))


def destination_url(text: object, field: str = "destination url") -> str:
    """Return *text*, unchanged, if it is an absolute http(s) URL that can be called.

    No name is resolved and loopback is allowed: calling services on this machine is what the server is for.
    """
    if not isinstance(text, str) or not re.match(r"(?i:https?)://", text):
        raise Refused(400, f"invalid {field}: endpoint has invalid scheme, add http:// or https://")
    try:
        URL(text)
        url = URL(text, encoded=True)
        usable = bool(_URL.fullmatch(text) and url.host and url.port is not None)
    except ValueError as error:
        raise Refused(400, f"invalid {field}: {error}") from error
    if not usable:
        raise Refused(400, f"invalid {field}: {text!r} is not a URL")
    return text


def canonical(header_name: str) -> str:
    """Spell a header's name as Go does: ``x-github-event`` becomes ``X-Github-Event``."""
    return "-".join(part.capitalize() for part in header_name.split("-"))


def header_value(text: object, field: str) -> str:
    """Return *text*, stripped, if it may be sent as a header's value."""
    if not isinstance(text, str) or _NO_VALUE.search(text):
        raise Refused(400, f"invalid {field}: not a header value")
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
    if re.fullmatch(f"(?:{_GO_PART})+", text):
        return sum(float(number) * _GO_UNIT_S[unit] for number, unit in re.findall(_GO_PART, text))
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
    # Python's own parser reads it, once it is nothing but what both grammars mean the same by; nothing is evaluated
    # but the few kinds of nodes that `_value` knows.
    if len(expression) > MAX_EXPRESSION_CHARS or not _EXPRESSION.fullmatch(expression):
        raise Refused(400, f"invalid Upstash-Retry-Delay: {expression[:80]!r} is not arithmetic with retried")
    try:
        value = _value(ast.parse(expression.strip(), mode="eval").body, retried)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise Refused(
            400, f"invalid Upstash-Retry-Delay: {expression[:80]!r} is not arithmetic with retried"
        ) from error
    return DAY_S * 1000.0 if math.isnan(value) else min(max(value, 0.0), DAY_S * 1000.0)


_EXPRESSION = re.compile(
    r"(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w.])|[a-z]+(?![\w.])|[-+*/(), \t])*"
)
_FUNCTIONS: dict[str, tuple[range, Callable[..., float]]] = {  # how many arguments, and what comes of them
    "pow": (range(2, 3), math.pow),
    "sqrt": (range(1, 2), math.sqrt),
    "abs": (range(1, 2), abs),
    "exp": (range(1, 2), math.exp),
    "floor": (range(1, 2), math.floor),
    "ceil": (range(1, 2), math.ceil),
    "round": (range(1, 2), round),
    "min": (range(1, 100), lambda *values: min(values)),
    "max": (range(1, 100), lambda *values: max(values)),
}
_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    # As IEEE 754 (and so Go) has it, where Python would raise.
    ast.Div: lambda a, b: a / b if b else math.nan if not a or math.isnan(a) else math.copysign(math.inf, a),
}


def _value(node: ast.expr, retried: int) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number) if number < 10**300 else math.inf
        case ast.Name(id="retried"):
            return float(retried)
        case ast.UnaryOp(op=ast.UAdd() | ast.USub() as sign, operand=operand):
            return _value(operand, retried) * (-1 if isinstance(sign, ast.USub) else 1)
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATORS:
            return _OPERATORS[type(sign)](_value(left, retried), _value(right, retried))
        case ast.Call(func=ast.Name(id=function), args=nodes, keywords=[]) if function in _FUNCTIONS:
            number_wanted, compute = _FUNCTIONS[function]
            arguments = [_value(node, retried) for node in nodes]
            if len(arguments) in number_wanted:
                try:
                    return float(compute(*arguments))
                except OverflowError:
                    return math.inf
                except ValueError:
                    return math.nan
    raise Refused(400, "invalid Upstash-Retry-Delay: only numbers, retried, + - * / and QStash's functions are allowed")
