"""The small languages of relay.toml's settings: names, durations, QStash's arithmetic, JMESPath, redaction, globs.

Each is a type that pydantic reads a text into, with what the JSON Schema can say of it; a text that isn't one is told
in words that say what to do.  Hides who reads which language: QStash's own are read as the local QStash reads them.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

import jmespath
from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from infra.config.mistakes import near
from infra.local.qstash.language import grammar as qstash
from relay.config import expressions

FACTS = ("event_type", "headers", "query", "body", "source")  # what an expression is asked of
NAME_MAX_CHARS = 64
NAME = r"[A-Za-z0-9_-]*[A-Za-z0-9][A-Za-z0-9_-]*"
_DURATION = re.compile(r"([0-9]{1,9}[smhd])+")
_GLOB = r"[A-Za-z0-9*?_-]+"
_REDACT = r"body|header(\[[!#$%&'*+.^_`|~0-9A-Za-z-]+\])?"
_DELAY_FUNCTIONS = ("pow", "sqrt", "abs", "exp", "floor", "ceil", "round", "min", "max")


def _text(pattern: str, examples: list[str]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^({pattern})$", "examples": examples})


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", text) or not re.search(r"[A-Za-z0-9]", text):
        raise ValueError("a name is made of letters, digits, '-' and '_', and has a letter or a digit")
    if len(text) > NAME_MAX_CHARS:
        raise ValueError(f"a name has {NAME_MAX_CHARS} characters at most")
    return text


def _seconds(value: object) -> int:
    if not isinstance(value, str) or not _DURATION.fullmatch(value):
        raise ValueError('must be whole numbers, each with a unit, s, m, h or d, like "30s" or "1h30m"')
    return qstash.duration_s(value, "duration")


def _some(seconds: int) -> int:
    if not seconds:
        raise ValueError('must be longer than nothing: whole numbers, each with a unit, like "30s"')
    return seconds


def _retry_delay(text: str) -> str:
    try:
        qstash.evaluate(text, 0)
    except qstash.Refused:
        raise ValueError(
            "must be QStash's arithmetic in milliseconds over 'retried', like \"pow(2, retried) * 1000\""
            f" (functions: {', '.join(sorted(_DELAY_FUNCTIONS))})"
        ) from None
    return text


def _expression(text: str) -> str:
    expressions.Expression.of(text)
    for name in _roots(jmespath.compile(text).parsed):
        if name not in FACTS:
            raise ValueError(f"asks for '{name}' of what has {', '.join(FACTS)}{near(name, FACTS)}")
    return text


def _roots(node: dict[str, Any]) -> set[str]:
    """Return the fields that the JMESPath *node* asks for of the whole, not of a part that it chose before."""
    kind, children = node["type"], [it for it in node["children"] if isinstance(it, dict)]
    if kind == "field":
        return {node["value"]}
    if kind in ("subexpression", "index_expression", "pipe", "projection", "value_projection", "filter_projection"):
        children = children[:1]  # the others are asked of what this one finds
    return {name for it in children for name in _roots(it)} if kind != "expref" else set()


def _template(text: str) -> str:
    if not text:
        raise ValueError("is empty: write text, with {…} around what comes of an event, like {body.account}")
    for part in expressions.Template.of(text).parts:
        if isinstance(part, expressions.Expression):
            _expression(part.text)
    return text


def _label(text: str) -> str:
    if "," in re.sub(r"\{[^{}]*\}", "", text):
        raise ValueError("has a comma, which parts labels in QStash: write two labels")
    return text


def _redacted(text: str) -> str:
    if not re.fullmatch(_REDACT, text):
        raise ValueError(
            f"must be body, header, or header[NAME] like header[Authorization]{near(text, ['body', 'header'])}"
        )
    return text


def _header_value(text: str) -> str:
    if not text or not text.isascii() or not text.isprintable() or text != text.strip():
        raise ValueError("must be printable ASCII, without blanks around it: percent-encode what isn't")
    return text


def _header_glob(text: str) -> str:
    if not re.fullmatch(_GLOB, text):
        raise ValueError('must be a header\'s name, "*" standing for any characters, like "x-github-*"')
    return text.lower()


def _glob(text: str) -> str:
    if not text:
        raise ValueError('is empty: write an event type, "*" standing for any characters, like "pull_request.*"')
    return text


def _moment(value: object) -> datetime:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError("must be a date and time with an offset and no quotes, like 2030-01-01T09:00:00+01:00")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("is before or after all time") from None


_DURATIONS = ["30s", "1h30m"]
_JMESPATH = ["body.repository.private", "event_type == 'push'"]
_TEMPLATES = ["{source}:{body.account}"]

Name = Annotated[str, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": f"^{NAME}$"})]
Duration = Annotated[int, BeforeValidator(_seconds), _text(_DURATION.pattern, _DURATIONS)]
"""Seconds, none of them too."""
Seconds = Annotated[int, AfterValidator(_some), BeforeValidator(_seconds), _text(_DURATION.pattern, _DURATIONS)]
RetryDelay = Annotated[str, AfterValidator(_retry_delay)]
ExpressionText = Annotated[str, AfterValidator(_expression), WithJsonSchema({"type": "string", "examples": _JMESPATH})]
TemplateText = Annotated[str, AfterValidator(_template), WithJsonSchema({"type": "string", "examples": _TEMPLATES})]
Label = Annotated[TemplateText, AfterValidator(_label)]
Redacted = Annotated[str, AfterValidator(_redacted), _text(_REDACT, ["body", "header[Authorization]"])]

HeaderValue = Annotated[str, AfterValidator(_header_value), _text(r"[!-~]([ -~]*[!-~])?", ["a"])]
HeaderGlob = Annotated[str, AfterValidator(_header_glob), _text(_GLOB, ["x-github-*"])]
Glob = Annotated[str, AfterValidator(_glob)]
Moment = Annotated[datetime, BeforeValidator(_moment)]
