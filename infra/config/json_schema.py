"""The shape of relay.toml as a JSON Schema, made of the models: for editors, and for all that asks what there may be.

Hides what pydantic writes that TOML has no word for (null), and what it leaves out.

Source: https://json-schema.org/draft/2020-12
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

DIALECT = "https://json-schema.org/draft/2020-12/schema"


@cache
def schema() -> dict[str, Any]:
    """Return the JSON Schema of relay.toml."""
    from infra.config.models import Config  # which asks here what settings there are

    made = _tidied(Config.model_json_schema())
    source = made["$defs"]["Source"]
    source["anyOf"] = [{"required": ["to"]}, {"required": ["routes"]}]
    source["oneOf"] = [{"required": ["scheme"]}, {"required": ["cron", "timezone"]}]
    source["dependentRequired"] = {it: ["cron"] for it in ("timezone", "body", "canary")} | {"quarantine": ["scheme"]}
    made["$defs"]["Route"]["required"] = ["to"]
    group = made["$defs"]["UrlGroup"]
    group["required"] = ["destinations"]
    named = group["properties"]["destinations"]["patternProperties"]
    named |= {name: {"anyOf": [{"type": "string"}, it]} for name, it in named.items()}  # a URL alone
    for limits in ("FlowLimits", "KeyedFlowControl"):
        made["$defs"][limits]["anyOf"] = [{"required": ["rate"]}, {"required": ["parallelism"]}]
        made["$defs"][limits]["dependentRequired"] = {"period": ["rate"]}
    return {"$schema": DIALECT, "title": "relay.toml", **made}


def settings_of(steps: Iterable[str | int]) -> list[str]:
    """Return the settings that the table at the path *steps* may have."""
    found = [schema()]
    for step in steps:
        found = [inner for it in found for inner in _inside(it, step)]
    return [name for it in found for form in forms(it) for name in form.get("properties", {})]


def forms(node: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the forms that a value of *node* may have, each without a reference."""
    if "$ref" in node:
        return forms(schema()["$defs"][node["$ref"].rpartition("/")[2]])
    choices = [it for it in (*node.get("anyOf", ()), *node.get("oneOf", ())) if it.keys() - {"required"}]
    return [form for it in choices for form in forms(it)] or [node]


def _inside(node: dict[str, Any], step: str | int) -> list[dict[str, Any]]:
    found = []
    for form in forms(node):
        if isinstance(step, int):
            found.append(form.get("items", {}))
        elif step in form.get("properties", {}):
            found.append(form["properties"][step])
        else:
            found += form.get("patternProperties", {}).values()
            found += [it for it in (form.get("additionalProperties"),) if isinstance(it, dict)]
    return found


def _tidied(node: Any) -> Any:
    """Return *node* without nulls, which TOML lacks, and titles that repeat a name; names are held to their form."""
    if isinstance(node, list):
        return [_tidied(it) for it in node]
    if not isinstance(node, dict):
        return node
    made = {
        key: {name: _tidied(it) for name, it in value.items()} if key in ("properties", "$defs") else _tidied(value)
        for key, value in node.items()
        if not (key == "title" and isinstance(value, str)) and not (key == "default" and value in (None, {}, []))
    }
    choices = [it for it in made.get("anyOf", ()) if it != {"type": "null"}]
    if len(choices) == 1 and "anyOf" in made:
        made = {**choices[0], **{key: it for key, it in made.items() if key != "anyOf"}}
    if "patternProperties" in made:
        made["additionalProperties"] = False
    return made
