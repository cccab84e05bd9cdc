"""JMESPath, and texts with JMESPath in them, as a configuration computes them from an event.

jmespath is imported with the first expression: a relay without expressions starts faster.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

EXPRESSION_MAX_CHARS = 2000


class ExpressionError(Exception):
    """An expression can't be computed from this event; the message says why."""


@dataclass(frozen=True)
class Expression:
    """One JMESPath expression that compiles."""

    text: str

    @classmethod
    def of(cls, text: str) -> Expression:
        """Return the expression of *text*.

        Raises:
            ValueError: It isn't JMESPath, or calls an unknown function, or one with too few or too many arguments.
        """
        if len(text) > EXPRESSION_MAX_CHARS:
            raise ValueError(f"is longer than {EXPRESSION_MAX_CHARS} characters")
        for wrong in _wrong_calls(_compiled(text).parsed):
            raise ValueError(wrong)
        return cls(text)

    def search(self, facts: Mapping[str, Any]) -> Any:
        """Return the value of the expression for *facts*; None where they lack a field that it names.

        Raises:
            ExpressionError: A function in it got a value that it can't take.
        """
        from jmespath.exceptions import JMESPathError

        try:
            return _compiled(self.text).search(facts)
        except (JMESPathError, ArithmeticError, TypeError, ValueError, RecursionError) as error:
            why = str(error).strip().partition("\n")[0] or type(error).__name__
            raise ExpressionError(f"{self.text}: {why}") from error

    def holds(self, facts: Mapping[str, Any]) -> bool:
        """Tell whether the expression is true of *facts*, as JMESPath defines it: not false, null or empty.

        Raises:
            ExpressionError: As `search`.
        """
        found = self.search(facts)
        return found is not None and found is not False and found not in ("", [], {})


@dataclass(frozen=True)
class Template:
    """A text with expressions in braces, `{source}:{body.account}`; `{{` and `}}` are braces."""

    parts: tuple[str | Expression, ...]

    @classmethod
    def of(cls, text: str) -> Template:
        """Return the template of *text*.

        Raises:
            ValueError: A brace is left open, or holds no expression.
        """
        parts: list[str | Expression] = []
        literal, at = "", 0
        while at < len(text):
            if text[at : at + 2] in ("{{", "}}"):
                literal, at = literal + text[at], at + 2
            elif text[at] == "{":
                end = _closing(text, at)
                parts += [literal, Expression.of(text[at + 1 : end])]
                literal, at = "", end + 1
            elif text[at] == "}":
                raise ValueError("has a } without its {: write }} for a brace")
            else:
                literal, at = literal + text[at], at + 1
        return cls((*parts, literal))

    def fill(self, facts: Mapping[str, Any]) -> str:
        """Return the text with its expressions computed from *facts*: null becomes an empty text, other values JSON.

        Raises:
            ExpressionError: An expression can't be computed.
        """
        return "".join(it if isinstance(it, str) else _as_text(it.search(facts)) for it in self.parts)


def _closing(text: str, at: int) -> int:
    """Return the index of the brace that closes the one at *at*; an expression may have braces and quotes in it."""
    depth, quote = 0, ""
    for number in range(at, len(text)):
        char = text[number]
        if quote:
            quote = "" if char == quote and text[number - 1] != "\\" else quote
        elif char in "'\"`":
            quote = char
        elif char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                return number
    raise ValueError("has a { without its }: write {{ for a brace")


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), sort_keys=True)


@lru_cache(maxsize=256)
def _compiled(text: str) -> Any:
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        return jmespath.compile(text)
    except (JMESPathError, ValueError, RecursionError) as error:
        why = str(error).strip().partition("\n")[0]
        raise ValueError(f"isn't JMESPath: {why}") from error


def _wrong_calls(node: Any) -> Iterator[str]:
    """Yield the mistakes in the function calls of *node*; jmespath itself finds them only in a search."""
    from jmespath.functions import Functions

    if not isinstance(node, dict):
        return
    arguments = node.get("children", [])
    if node.get("type") == "function_expression":
        known = Functions.FUNCTION_TABLE.get(node["value"])
        if known is None:
            yield f"calls {node['value']}(), which JMESPath doesn't have: {', '.join(sorted(Functions.FUNCTION_TABLE))}"
        else:
            takes = known["signature"]
            more = bool(takes) and bool(takes[-1].get("variadic"))
            if len(arguments) < len(takes) or (len(arguments) > len(takes) and not more):
                wanted = f"{len(takes)} or more" if more else str(len(takes))
                yield f"calls {node['value']}() with {len(arguments)} arguments: it takes {wanted}"
    for child in arguments:
        yield from _wrong_calls(child)
