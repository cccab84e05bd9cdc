"""DynamoDB's expressions: conditions, updates and projections, read once and applied to items as the wire has them.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar

Attribute = dict[str, Any]
"""A value as the wire has it: `{"S": "text"}`."""

WireItem = dict[str, Attribute]
_ORDERED = {"S", "N", "B"}
_COMPARATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
_TOKEN = re.compile(r"\s*(?:([:#]?[A-Za-z_0-9][A-Za-z_0-9]*)|(<=|>=|<>|[=<>(),.\[\]+-]))")
_PLACEHOLDER = re.compile(r"[:#][A-Za-z_0-9]+")


class Invalid(ValueError):
    """The request is none that DynamoDB takes: its ValidationException."""


def comparable(value: Attribute) -> tuple[str, Any]:
    """Return *value* in a form that is equal where DynamoDB says so, and ordered for texts, numbers and bytes."""
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return kind, content.encode()
        case "N":
            return kind, Decimal(content)
        case "SS" | "BS":
            return kind, frozenset(content)
        case "NS":
            return kind, frozenset(map(Decimal, content))
        case "L":
            return kind, tuple(map(comparable, content))
        case "M":
            return kind, frozenset((name, comparable(inner)) for name, inner in content.items())
        case _:
            return kind, content


@dataclass(frozen=True)
class Scope:
    """What an expression is applied to: an item, and what its placeholders stand for."""

    item: WireItem
    names: Mapping[str, str]
    values: Mapping[str, Attribute]


Path = tuple[str | int, ...]
Operand = Callable[[Scope], Attribute | None]
Condition = Callable[[Scope], bool]
Read = TypeVar("Read")


def placeholders(*expressions: str) -> set[str]:
    """Return the placeholders, of names and values, that *expressions* use."""
    return {it for expression in expressions for it in _PLACEHOLDER.findall(expression)}


@cache
def condition(text: str) -> Condition:
    """Return the condition that *text* says."""
    reader = _Reader(text)
    return reader.ended(reader.any_of())


@cache
def update(text: str) -> Update:
    """Return the update that *text* says."""
    reader = _Reader(text)
    return reader.ended(reader.update())


@cache
def projection(text: str) -> tuple[Path, ...]:
    """Return the paths that the projection *text* names."""
    reader = _Reader(text)
    return reader.ended(tuple(reader.listed(reader.path)))


def resolve(path: Path, names: Mapping[str, str]) -> Path:
    """Return *path* with the names that its placeholders stand for."""
    try:
        return tuple(names[it] if isinstance(it, str) and it.startswith("#") else it for it in path)
    except KeyError as error:
        raise Invalid(f"An expression attribute name used in the document path is not defined: {error}") from None


def at(item: WireItem, path: Path) -> Attribute | None:
    """Return what stands at *path*, whose names are resolved; None where nothing does."""
    here: Attribute | None = {"M": item}
    for step in path:
        if here is None:
            return None
        if isinstance(step, int):
            here = here["L"][step] if step < len(here.get("L", ())) else None
        else:
            here = here.get("M", {}).get(step)
    return here


@dataclass
class Update:
    """What an update expression does; every value is taken from the item as it was before."""

    sets: list[tuple[Path, Operand]] = field(default_factory=list)
    removes: list[Path] = field(default_factory=list)
    adds: list[tuple[Path, Operand]] = field(default_factory=list)
    deletes: list[tuple[Path, Operand]] = field(default_factory=list)

    def apply(self, scope: Scope, item: WireItem) -> set[str]:
        """Change *item*, a copy of the scope's; return the attributes that were touched."""
        found = [(resolve(path, scope.names), value(scope)) for path, value in self.sets]
        touched = [path for path, _ in found]
        for path, value in found:
            if value is None:
                raise Invalid("The provided expression refers to an attribute that does not exist in the item")
            _put(item, path, value)
        for change, pairs in ((_plus, self.adds), (_minus, self.deletes)):
            for raw, operand in pairs:
                path, given = resolve(raw, scope.names), operand(scope)
                assert given is not None
                after = change(at(scope.item, path), given)
                touched.append(path)
                if after is None:
                    _drop(item, path)
                else:
                    _put(item, path, after)
        # The last of a list first, so that the numbers of the others stay right.
        for path in sorted((resolve(it, scope.names) for it in self.removes), key=str, reverse=True):
            touched.append(path)
            _drop(item, path)
        if len(set(touched)) != len(touched):
            raise Invalid("Two document paths overlap with each other")
        return {str(path[0]) for path in touched}


def _put(item: WireItem, path: Path, value: Attribute) -> None:
    *parents, last = path
    parent = at(item, tuple(parents))
    if parent is not None and isinstance(last, str) and "M" in parent:
        parent["M"][last] = value
    elif parent is not None and isinstance(last, int) and "L" in parent:
        parent["L"][last : last + 1] = [value]
    else:
        raise Invalid("The document path provided in the update expression is invalid for update")


def _drop(item: WireItem, path: Path) -> None:
    *parents, last = path
    parent = at(item, tuple(parents))
    if parent is None:
        raise Invalid("The document path provided in the update expression is invalid for update")
    if isinstance(last, str):
        parent.get("M", {}).pop(last, None)
    else:
        del parent["L"][last : last + 1]


def _number(value: Decimal) -> Attribute:
    return {"N": format(value.normalize(), "f")}


def _plus(old: Attribute | None, given: Attribute) -> Attribute:
    ((kind, amount),) = given.items()
    if kind not in {"N", "SS", "NS", "BS"} or (old is not None and kind not in old):
        raise Invalid("Incorrect operand type for operator or function; operator: ADD")
    if kind == "N":
        return _number(Decimal(old["N"] if old else 0) + Decimal(amount))
    return {kind: sorted({*(old[kind] if old else ()), *amount})}


def _minus(old: Attribute | None, given: Attribute) -> Attribute | None:
    ((kind, amount),) = given.items()
    if old is None:
        return None
    if kind not in old or kind == "N":
        raise Invalid("Incorrect operand type for operator or function; operator: DELETE")
    left = sorted(set(old[kind]) - set(amount))
    return {kind: left} if left else None


class _Reader:
    """Reads an expression by recursive descent."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens: list[str] = []
        position = 0
        while text[position:].strip():
            found = _TOKEN.match(text, position)
            if found is None:
                raise Invalid(f"Syntax error; token: {text[position:]!r}")
            self._tokens.append(found[1] or found[2])
            position = found.end()
        self._tokens.append("")

    def ended(self, read: Read) -> Read:
        """Return *read*, if the expression ends here."""
        if self._tokens != [""]:
            raise Invalid(f"Syntax error; token: {self._tokens[0]!r} in {self.text!r}")
        return read

    def _next(self) -> str:
        token = self._tokens[0]
        if not token:
            raise Invalid(f"Syntax error; the expression ends too early: {self.text!r}")
        return self._tokens.pop(0)

    def _taken(self, *words: str) -> str:
        """Take the next token if it is one of *words*, in any case of letters; return it, or nothing."""
        return self._tokens.pop(0).upper() if self._tokens[0].upper() in words else ""

    def _expect(self, token: str) -> None:
        if self._next().upper() != token:
            raise Invalid(f"Syntax error; {token} is missing in {self.text!r}")

    def listed(self, one: Callable[[], Read]) -> list[Read]:
        """Read one thing after the other, between commas."""
        found = [one()]
        while self._taken(","):
            found.append(one())
        return found

    # -- conditions -------------------------------------------------------------------------------------------------

    def any_of(self) -> Condition:
        """Read a condition."""
        conditions = [self._all_of()]
        while self._taken("OR"):
            conditions.append(self._all_of())
        return lambda scope: any(it(scope) for it in conditions)

    def _all_of(self) -> Condition:
        conditions = [self._not()]
        while self._taken("AND"):
            conditions.append(self._not())
        return lambda scope: all(it(scope) for it in conditions)

    def _not(self) -> Condition:
        if self._taken("NOT"):
            inner = self._not()
            return lambda scope: not inner(scope)
        if self._taken("("):
            inner = self.any_of()
            self._expect(")")
            return inner
        if self._tokens[1] == "(" and self._tokens[0] != "size":
            return self._function(self._next())
        return self._comparison()

    def _function(self, name: str) -> Condition:
        self._expect("(")
        if name in {"attribute_exists", "attribute_not_exists"}:
            path = self.path()
            self._expect(")")
            return lambda scope: (
                (at(scope.item, resolve(path, scope.names)) is not None) == (name == "attribute_exists")
            )
        left = self._operand()
        self._expect(",")
        right = self._operand()
        self._expect(")")
        try:
            holds = {"begins_with": _begins_with, "contains": _contains}[name]
        except KeyError:
            raise Invalid(f"Invalid function name; function: {name}") from None
        return lambda scope: holds(left(scope), right(scope))

    def _comparison(self) -> Condition:
        left = self._operand()
        word = self._next().upper()
        if word == "BETWEEN":
            low = self._operand()
            self._expect("AND")
            high = self._operand()
            return lambda scope: _compared(">=", left(scope), low(scope)) and _compared("<=", left(scope), high(scope))
        if word == "IN":
            self._expect("(")
            chosen = self.listed(self._operand)
            self._expect(")")
            return lambda scope: any(_compared("=", left(scope), it(scope)) for it in chosen)
        if word not in {*_COMPARATORS, "=", "<>"}:
            raise Invalid(f"Syntax error; token: {word!r} in {self.text!r}")
        right = self._operand()
        return lambda scope: _compared(word, left(scope), right(scope))

    def _operand(self) -> Operand:
        if self._tokens[0] == "size" and self._tokens[1] == "(":
            self._next()
            self._expect("(")
            path = self.path()
            self._expect(")")
            return lambda scope: _size(at(scope.item, resolve(path, scope.names)))
        if self._tokens[0].startswith(":"):
            name = self._next()
            return lambda scope: _given(scope, name)
        path = self.path()
        return lambda scope: at(scope.item, resolve(path, scope.names))

    def path(self) -> Path:
        """Read a document path."""
        steps: list[str | int] = [self._next()]
        while mark := self._taken(".", "["):
            if mark == ".":
                steps.append(self._next())
            else:
                steps.append(int(self._next()))
                self._expect("]")
        return tuple(steps)

    # -- updates ----------------------------------------------------------------------------------------------------

    def update(self) -> Update:
        """Read an update expression: each kind of clause once, in any order."""
        found, seen = Update(), set[str]()
        while clause := self._taken("SET", "REMOVE", "ADD", "DELETE"):
            if clause in seen:
                raise Invalid(f'The "{clause}" section can only be used once in an update expression')
            seen.add(clause)
            match clause:
                case "SET":
                    found.sets = self.listed(self._assignment)
                case "REMOVE":
                    found.removes = self.listed(self.path)
                case "ADD":
                    found.adds = self.listed(lambda: (self.path(), self._operand()))
                case _:
                    found.deletes = self.listed(lambda: (self.path(), self._operand()))
        return found

    def _assignment(self) -> tuple[Path, Operand]:
        path = self.path()
        self._expect("=")
        left = self._new_value()
        sign = self._taken("+", "-")
        if not sign:
            return path, left
        right = self._new_value()
        return path, lambda scope: _sum(left(scope), right(scope), sign)

    def _new_value(self) -> Operand:
        if self._tokens[1] != "(":
            return self._operand()
        name = self._next()
        self._expect("(")
        left = self._new_value()
        self._expect(",")
        right = self._new_value()
        self._expect(")")
        match name:
            case "if_not_exists":
                return lambda scope: left(scope) or right(scope)
            case "list_append":
                return lambda scope: _appended(left(scope), right(scope))
        raise Invalid(f"Invalid function name; function: {name}")


def _given(scope: Scope, name: str) -> Attribute:
    try:
        return scope.values[name]
    except KeyError:
        raise Invalid(f"An expression attribute value used in expression is not defined: {name}") from None


def _compared(word: str, left: Attribute | None, right: Attribute | None) -> bool:
    if word == "<>":
        return not _compared("=", left, right)
    if left is None or right is None:
        return False
    (kind, a), (other, b) = comparable(left), comparable(right)
    if word == "=":
        return (kind, a) == (other, b)
    return kind == other and kind in _ORDERED and _COMPARATORS[word](a, b)


def _begins_with(whole: Attribute | None, start: Attribute | None) -> bool:
    if whole is None or start is None:
        return False
    (kind, a), (other, b) = comparable(whole), comparable(start)
    return kind == other and kind in {"S", "B"} and a.startswith(b)


def _contains(whole: Attribute | None, part: Attribute | None) -> bool:
    if whole is None or part is None:
        return False
    (kind, a), (other, b) = comparable(whole), comparable(part)
    match kind:
        case "S" | "B":
            return kind == other and b in a
        case "SS" | "BS" | "NS":
            return kind == other + "S" and next(iter(part.values())) in whole[kind]
        case "L":
            return (other, b) in a
    return False


def _size(value: Attribute | None) -> Attribute | None:
    if value is None:
        return None
    ((kind, content),) = value.items()
    if kind in {"N", "BOOL", "NULL"}:
        raise Invalid(
            f"Incorrect operand type for operator or function; operator or function: size, operand type: {kind}"
        )
    return {"N": str(len(content.encode() if kind == "S" else content))}


def _sum(left: Attribute | None, right: Attribute | None, sign: str) -> Attribute | None:
    if left is None or right is None:
        return None
    if "N" not in left or "N" not in right:
        raise Invalid(f"Incorrect operand type for operator or function; operator or function: {sign}")
    a, b = Decimal(left["N"]), Decimal(right["N"])
    return _number(a + b if sign == "+" else a - b)


def _appended(left: Attribute | None, right: Attribute | None) -> Attribute | None:
    if left is None or right is None:
        return None
    if "L" not in left or "L" not in right:
        raise Invalid("Incorrect operand type for operator or function; operator or function: list_append")
    return {"L": [*left["L"], *right["L"]]}
