"""Writes docs/reference.md and docs/relay.schema.json from relay.toml's models: `python -m infra.docs.reference`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.config import json_schema
from infra.config.capacity import Concurrency, Throttle
from infra.config.destinations import Destination
from infra.config.models import QStash, Relay, Route, Source, UrlGroup
from infra.config.publishing import Computed, FlowLimits, KeyedFlowControl, PublishSettings, Queue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "reference.md"
SCHEMA = DOCS / "relay.schema.json"
_HEAD = """\
# relay.toml: every setting

`python -m infra.docs.reference` writes this page, and [relay.schema.json](relay.schema.json) for editors, from the
models that `relay check` and `cdk synth` read the file with. With `#:schema docs/relay.schema.json` as the first line
of a relay.toml, editors that know TOML schemas complete and check it. Unknown settings are mistakes, and told with the
nearest right name.

[cookbook.md](cookbook.md) has a recipe for each use; what proves who sent a webhook, and the rows of `[schemes.x]`, is
in [schemes.md](schemes.md).
"""
_TABLES: dict[str, type[BaseModel]] = {
    "[relay]": Relay,
    "[relay.throttle]": Throttle,
    "[relay.concurrency]": Concurrency,
    "[qstash]": QStash,
    "[sources.NAME]": Source,
    "[[sources.NAME.routes]]": Route,
    "[url_groups.NAME]": UrlGroup,
    "[url_groups.NAME.destinations.NAME]": Destination,
    "Publish settings": PublishSettings,
    "{ expression = … }": Computed,
    "flow_control = { … }": KeyedFlowControl,
    "[queues.NAME]": Queue,
    "[flow_controls.NAME]": FlowLimits,
}
_SAID = {
    "Publish settings": "At `[url_groups.NAME]`, `[sources.NAME]` and `[[sources.NAME.routes]]`: setting by setting the"
    " nearest wins, a route's before its source's before the URL group's.",
}


def page() -> str:
    """Return the reference, whole."""
    return "\n".join((_HEAD, *(line for title, model in _TABLES.items() for line in _section(title, model))))


def schema() -> str:
    """Return the JSON Schema, as a file holds it."""
    return json.dumps(json_schema.schema(), indent=2, ensure_ascii=False) + "\n"


def _section(title: str, model: type[BaseModel]) -> Iterator[str]:
    """Yield the lines about one table: of what inherits the publish settings only its own."""
    publishes = PublishSettings.model_fields
    named = model is not PublishSettings and issubclass(model, PublishSettings)
    yield f"## {title if title[0].isalpha() else f'`{title}`'}"
    yield ""
    if said := _SAID.get(title, (model.__doc__ or "").partition(": ")[2].partition("\n")[0]):
        yield said[0].upper() + said[1:] + (" It takes the publish settings below, too." if named else "")
        yield ""
    yield "| setting | what it is | without it | what it says | example |"
    yield "| --- | --- | --- | --- | --- |"
    definition = json_schema.schema()["$defs"][(UrlGroup if model is PublishSettings else model).__name__]
    for name, field in definition["properties"].items():
        if (named and name in publishes) or (model is PublishSettings and name not in publishes):
            continue
        cells = [f"`{name}`", _type(field), _default(field), field.get("description", ""), _example(name, field)]
        yield "| " + " | ".join(it.replace("|", "\\|").replace("\n", " ") for it in cells) + " |"
    yield ""


def _type(field: dict[str, Any]) -> str:
    return " or ".join(dict.fromkeys(_type_of(it) for it in json_schema.forms(field)))


def _type_of(form: dict[str, Any]) -> str:
    if "enum" in form or "const" in form:
        return " or ".join(f"`{json.dumps(it)}`" for it in form.get("enum", [form.get("const")]))
    if form.get("type") == "array":
        return f"list of {_type(form.get('items', {}))}"
    if form.get("type") == "integer":
        low, high = form.get("minimum", form.get("exclusiveMinimum")), form.get("maximum")
        return "number" + (f" from {low}" if low is not None else "") + (f" to {high:,}" if high is not None else "")
    return {"string": "text", "boolean": "true or false", "object": "table"}.get(str(form.get("type")), "text")


def _default(field: dict[str, Any]) -> str:
    return f"`{json.dumps(field['default'])}`" if "default" in field else ""


def _example(name: str, field: dict[str, Any]) -> str:
    return "<br>".join(f"`{name} = {_toml(it)}`" for it in field.get("examples", []))


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(it)}" for name, it in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return f"'{value}'" if isinstance(value, str) and '"' in value else json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    SCHEMA.write_text(schema(), encoding="utf-8")
