"""What IAM makes of a function's policy where that limits the leading keys of its writes.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from infra.stack.writes import LEADING_KEYS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

_CONDITION = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys"}}


class Denied(BaseException):
    """A function wrote what its role may not.  No error: nobody may catch it, and spool the webhook instead."""


def allows(statements: Iterable[Mapping[str, Any]], action: str, keys: Collection[str]) -> bool:
    """Tell whether *statements* of a policy let who has it do *action* on items with the partition keys *keys*."""
    return any(_allows(it, action, keys) for it in statements)


def _allows(statement: Mapping[str, Any], action: str, keys: Collection[str]) -> bool:
    if statement["Effect"] != "Allow":
        raise NotImplementedError(f"a statement that says {statement['Effect']}")
    if action not in _listed(statement["Action"]):
        return False
    conditions = statement.get("Condition", {})
    if conditions and {operator: set(it) for operator, it in conditions.items()} != _CONDITION:
        raise NotImplementedError(f"the conditions {conditions}")
    return all(
        any(_is_like(key, pattern) for pattern in _listed(patterns))
        for limited in conditions.values()
        for patterns in limited.values()
        for key in keys
    )


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _is_like(key: str, pattern: str) -> bool:
    """Compare as StringLike does: `*` is any characters, `?` one, and case counts."""
    wanted = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(wanted, key, re.DOTALL) is not None


ROLES: Mapping[str, list[Mapping[str, Any]]] = {
    verb: [
        {
            "Effect": "Allow",
            "Action": ["dynamodb:PutItem", "dynamodb:UpdateItem"],
            "Condition": {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": [*keys]}},
        }
    ]
    for verb, keys in LEADING_KEYS.items()
}
"""What the functions may write that anybody reaches; `tests/infra` holds the synthesized policies to the same."""
