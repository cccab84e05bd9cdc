"""Routes, publish settings, schedules, queues, limits: what is a mistake, what a warning, what the functions get."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infra.config import json_schema, plan_limits, publishing
from infra.config.flatten import flatten
from infra.config.load import load
from infra.config.mistakes import ConfigError
from infra.config.models import Config
from infra.docs import reference
from relay.config.settings import Settings
from relay.qstash.client import CALLBACK_RETRIES

if TYPE_CHECKING:
    from pathlib import Path

BASE = """
[sources.github]
scheme = "github"
to = ["audit"]
[url_groups.audit.destinations]
ledger = "https://ledger.example.com"
"""
WHOLE = """
[relay]
name = "shop"
[qstash]
plan = "payg"
[queues.fifo]
parallelism = 1
[flow_controls.crm]
rate = 20
period = "1s"
parallelism = 5
[sources.github]
scheme = "github"
to = ["audit"]
retries = 4
[[sources.github.routes]]
event_types = ["push", "pull_request.*"]
when = "body.repository.private"
transform = "{id: body.id}"
to = ["ci"]
delay = "1m"
[[sources.github.routes]]
to = ["ci", "audit"]
retries = 9
[sources.nightly]
cron = "0 3 * * *"
timezone = "Europe/Berlin"
body = '{"kind":"nightly"}'
to = ["audit"]
[sources.alive]
cron = "*/10 * * * *"
timezone = "UTC"
canary = true
to = ["audit"]
[url_groups.audit]
flow_control = "crm"
[url_groups.audit.destinations]
ledger = "https://ledger.example.com/in"
[url_groups.ci]
timeout = "2m"
method = "PUT"
retry_delay = "1000 * (1 + retried)"
not_before = { expression = "body.at" }
flow_control = { key = "{source}:{body.account}", rate = 20, period = "1m", parallelism = 5 }
labels = ["ci", "{body.account}"]
redact = ["body", "header[Authorization]"]
callbacks = "failures"
forward_headers = ["x-github-*"]
queue = "fifo"
[url_groups.ci.destinations]
builder = "https://ci.example.com/x"
"""


def read(tmp_path: Path, text: str) -> Config:
    """Return the configuration that *text* is."""
    file = tmp_path / "relay.toml"
    file.write_text(text, encoding="utf-8")
    return load(file)


def mistakes(tmp_path: Path, text: str) -> dict[str, tuple[int | None, str]]:
    """Return what is wrong with *text*, by path: its line and the words."""
    with pytest.raises(ConfigError) as told:
        read(tmp_path, text)
    return {it.path: (it.line, it.message) for it in told.value.mistakes}


def test_everything_that_there_is_is_read_by_the_functions(tmp_path: Path) -> None:
    """The nearest of route, source and group says how; the rest are defaults."""
    flat = flatten(read(tmp_path, WHOLE))
    json.dumps(flat)
    settings = Settings.of({"RELAY_BASE_URLS": "https://r.example"}, flat)

    first, second, always = settings.source("github").routes
    assert [it.name for it in (first, second, always)] == ["routes[0]", "routes[1]", "to"]
    ci, again, audit = first.to["ci"], second.to["ci"], always.to["audit"]
    assert (ci.retries, again.retries, audit.retries, second.to["audit"].retries) == (4, 9, 4, 9)
    assert (ci.delay, again.delay, ci.method, ci.timeout_s, audit.timeout_s) == (60, None, "PUT", 120, 30)
    assert ci.flow_control == {"key": "{source}:{body.account}", "rate": 20, "period_s": 60, "parallelism": 5}
    assert audit.flow_control == {"key": "crm", "rate": 20, "period_s": 1, "parallelism": 5}
    assert (ci.queue, ci.reports_all, ci.forward_headers) == ("fifo", False, ("x-github-*",))
    assert settings.groups["ci"].publishing.retries == 5
    assert settings.source("nightly").schedule == {
        "cron": "0 3 * * *",
        "timezone": "Europe/Berlin",
        "body": '{"kind":"nightly"}',
        "content_type": "application/json",
        "retries": 5,
    }
    assert settings.source("alive").canary
    assert flat["queues"] == {"fifo": {"parallelism": 1}}
    assert flat["flow_controls"] == {"crm": {"rate": 20, "period_s": 1, "parallelism": 5}}


SOURCE = '[sources.s]\nscheme = "github"\n'
ROUTE = f'{SOURCE}[[sources.s.routes]]\nto = ["audit"]\n'
CRON = '[sources.s]\nto = ["audit"]\n'
GROUP = '[url_groups.g.destinations]\nd = "https://a.example.com"\n[url_groups.g]\n'
FREE = '[qstash]\nplan = "free"\n'
FIXED = '[qstash]\nplan = "fixed"\n'


@pytest.mark.parametrize(
    ("text", "path", "line", "words"),
    [
        (ROUTE + 'when = "body.["', "sources.s.routes[0].when", 11, "isn't JMESPath"),
        (ROUTE + 'when = "body.x ||"', "sources.s.routes[0].when", 11, "Invalid jmespath expression"),
        (ROUTE + 'when = "bdy.x"', "sources.s.routes[0].when", 11, "did you mean 'body'?"),
        (ROUTE + 'transform = "lenght(body)"', "sources.s.routes[0].transform", 11, "doesn't have"),
        (ROUTE + "event_types = []", "sources.s.routes[0].event_types", 11, "leave it out"),
        (ROUTE + 'evnt_types = ["x"]', "sources.s.routes[0].evnt_types", 11, "did you mean 'event_types'?"),
        (f'{SOURCE}[[sources.s.routes]]\nto = ["adit"]', "sources.s.routes[0].to", 10, "did you mean 'audit'?"),
        (ROUTE + 'delay = "10"', "sources.s.routes[0].delay", 11, "a unit"),
        (ROUTE + "not_before = 2030-01-01T00:00:00", "sources.s.routes[0].not_before", 11, "with an offset"),
        (ROUTE + 'method = "HEAD"', "sources.s.routes[0].method", 11, "'PATCH'"),
        (ROUTE + 'redact = ["boddy"]', "sources.s.routes[0].redact[0]", 11, "did you mean 'body'?"),
        (ROUTE + 'labels = ["a,b"]', "sources.s.routes[0].labels[0]", 11, "comma"),
        (ROUTE + 'labels = ["{body.x"]', "sources.s.routes[0].labels[0]", 11, "without its }"),
        (ROUTE + 'queue = "fifo"', "sources.s.routes[0].queue", 11, "make it, as [queues.NAME]"),
        (ROUTE + 'flow_control = "crm"', "sources.s.routes[0].flow_control", 11, "make it, as [flow_controls.NAME]"),
        (ROUTE + "retries = 1000", "sources.s.routes[0].retries", 11, "less than or equal to 999"),
        (ROUTE + 'retry_delay = "retries * 2"', "sources.s.routes[0].retry_delay", 11, "QStash's arithmetic"),
        ("[flow_controls.x]", "flow_controls.x", 7, "limits nothing"),
        ('[flow_controls.x]\nrate = 1\nperiod = "8d"', "flow_controls.x.period", 9, "longer than a week"),
        ("[queues.x]\nparallelism = 0", "queues.x.parallelism", 8, "greater than or equal to 1"),
        ('[queues."a.b"]', "queues.a.b", 7, "letters, digits"),
        (CRON + 'cron = "0 3 * * *"', "sources.s.timezone", 7, "say whose clock"),
        (CRON + 'cron = "0 3 * * *"\ntimezone = "Europe/Berlim"', "sources.s.timezone", 10, "Europe/Berlin"),
        (CRON + 'cron = "0 3 * * *"\ntimezone = "localtime"', "sources.s.timezone", 10, "no time zone 'localtime'"),
        (CRON + 'cron = "0 3 * *"\ntimezone = "UTC"', "sources.s.cron", 9, "isn't cron"),
        (CRON + 'cron = "0 0 3 * * *"\ntimezone = "UTC"', "sources.s.cron", 9, "no seconds"),
        (CRON + 'cron = "CRON_TZ=UTC 0 3 * * *"\ntimezone = "UTC"', "sources.s.cron", 9, "set timezone"),
        (CRON + 'cron = "0 0 30 2 *"\ntimezone = "UTC"', "sources.s.cron", 9, "never runs"),
        (CRON + 'cron = "0 0 1 * *"\ntimezone = "UTC"\ncanary = true', "sources.s.canary", 11, "three and a half days"),
        (SOURCE + 'to = ["audit"]\ncanary = true', "sources.s.canary", 10, "has no cron"),
        (GROUP + 'labels = ["Bearer abcdefghijklmnopqrstuv"]', "url_groups.g.labels[0]", 10, "looks like a secret"),
        (FREE + GROUP, "url_groups", None, "QStash's plan 'free' (qstash.plan) allows 1"),
        (GROUP + 'timeout = "3h"', "url_groups.g.timeout", 10, "longer than 2 h"),
        (GROUP + 'delay = "60d"', "url_groups.g.delay", 10, "events are kept"),
        ("[queues.x]\nparallelism = 101", "queues.x.parallelism", 8, "is above 100"),
        ('[qstash]\nplan = "gold"', "qstash.plan", 8, "'free', 'payg' or 'fixed'"),
    ],
)
def test_a_mistake_is_told_by_path_and_line_with_what_to_do(
    tmp_path: Path, text: str, path: str, line: int | None, words: str
) -> None:
    found = mistakes(tmp_path, BASE + text)

    assert path in found, found
    assert words in found[path][1]
    if line is not None:
        assert found[path][0] == line


def test_a_route_without_groups_is_told_so_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, BASE + SOURCE + '[[sources.s.routes]]\nevent_types = ["push"]')

    assert [it.path for it in caught.value.mistakes] == ["sources.s.routes[0].to"]
    assert "is missing" in caught.value.mistakes[0].message


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """Of the models, and between them."""
    text = (
        ROUTE
        + 'when = "body.["\nqueue = "none"\nretries = -1\n'
        + "[url_groups.h]\nretry = 1\n[url_groups.h.destinations]\n"
    )

    found = mistakes(tmp_path, BASE + text + 'x = "http://169.254.169.254/"')

    assert set(found) == {
        "sources.s.routes[0].when",
        "sources.s.routes[0].queue",
        "sources.s.routes[0].retries",
        "url_groups.h.retry",
        "url_groups.h.destinations.x.url",
    }


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        (GROUP + "", "url_groups.g", "gets no events"),
        (SOURCE + 'to = ["audit"]\nretries = 2', "sources.s.retries", "an hour gets dead letters"),
        (ROUTE + '[[sources.s.routes]]\nto = ["audit"]', "sources.s.routes[1].to", "gets an event once"),
        (ROUTE + 'delay = "10s"\nnot_before = 2020-01-01T00:00:00Z', "sources.s.routes[0]", "not_before decides"),
        (
            CRON + 'cron = "0 3 * * *"\ntimezone = "UTC"\ncanary = true',
            "sources.s.canary",
            "every 6 h at least",
        ),
        (FREE + SOURCE + 'to = ["audit"]\nretries = 6', "sources.s.retries", "is above 5, and QStash may refuse"),
        (ROUTE + "retries = 6", "sources.s.routes[0].retries", "quota maxRetries exceeded"),
        (CRON + 'cron = "0 3 * * *"\ntimezone = "UTC"\nretries = 6', "sources.s.retries", "is above 5"),
        (FIXED + SOURCE + 'to = ["audit"]\nretries = 21', "sources.s.retries", "is above 20"),
        (
            SOURCE + 'to = ["audit"]\nreplays = "refuse"',
            "sources.s.replays",
            'say suspected_replays = "refuse" instead',
        ),
        (SOURCE + 'to = ["audit"]\nreplays = "flag"', "sources.s.replays", 'say suspected_replays = "flag" instead'),
    ],
)
def test_what_is_likely_to_be_meant_otherwise_is_a_warning(tmp_path: Path, text: str, path: str, words: str) -> None:
    config = read(tmp_path, BASE + text)

    found = {it.path: it.message for it in config.warnings}
    assert words in found.get(path, ""), found


@pytest.mark.parametrize("name", ["suspected_replays", "replays"])
@pytest.mark.parametrize("what", ["flag", "refuse"])
def test_a_source_refuses_suspected_replays_under_the_new_name_and_the_old(
    tmp_path: Path, name: str, what: str
) -> None:
    config = read(tmp_path, BASE + SOURCE + f'to = ["audit"]\n{name} = "{what}"')

    assert Settings.of({}, flatten(config)).source("s").refuses_replays == (what == "refuse")
    assert [it.path for it in config.warnings] == (["sources.s.replays"] if name == "replays" else [])


@pytest.mark.parametrize("plan", ["", *(f'[qstash]\nplan = "{it}"\n' for it in plan_limits.RETRIES)])
def test_a_file_without_doubts_has_no_warning(tmp_path: Path, plan: str) -> None:
    """Nor one that says as many retries as every plan takes."""
    for text in (BASE, BASE + SOURCE + 'to = ["audit"]\nretries = 5'):
        assert read(tmp_path, plan + text).warnings == ()


def test_what_the_relay_says_itself_is_in_every_plan() -> None:
    said = (plan_limits.SCHEDULE_RETRIES, CALLBACK_RETRIES, publishing.DEFAULTS["retries"])

    assert max(said) <= min(plan_limits.RETRIES.values())


WORDS = [
    *Config.model_fields,
    *{it for one in json_schema.schema()["$defs"].values() for it in one.get("properties", {})},
]
PLAIN = st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.sampled_from(["audit", "github"])
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=12,
)


@example({"url_groups": "audit"})
@given(st.dictionaries(st.sampled_from(WORDS), VALUES, max_size=5))
def test_whatever_a_file_holds_is_a_configuration_or_told(
    tmp_path_factory: pytest.TempPathFactory, held: dict[str, Any]
) -> None:
    """Never another error."""
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_text("\n".join(f"{name} = {toml(it)}" for name, it in held.items()), encoding="utf-8")

    with suppress(ConfigError):
        flatten(load(file))


def toml(value: Any) -> str:
    """Return *value* as TOML has it."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(name)} = {toml(it)}" for name, it in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, float):
        return {"inf": "inf", "-inf": "-inf", "nan": "nan"}.get(str(value), repr(value))
    return json.dumps(value)


def test_the_schema_and_the_reference_are_those_of_the_models() -> None:
    """`python -m infra.docs.reference` writes both."""
    assert reference.SCHEMA.read_text(encoding="utf-8") == reference.schema()
    assert reference.PAGE.read_text(encoding="utf-8") == reference.page()


@pytest.mark.parametrize("text", [BASE, WHOLE])
def test_editors_are_shown_no_mistake_in_what_is_right(text: str) -> None:
    jsonschema_rs.Draft202012Validator(json_schema.schema()).validate(tomllib.loads(text))


@pytest.mark.parametrize(
    "text",
    [
        BASE + "[url_groups.audit]\nretry = 1",
        BASE + ROUTE + 'delay = "10"',
        BASE + CRON + 'cron = "0 3 * * *"',
        BASE + '[queues."a.b"]',
        BASE + '[qstash]\nplan = "gold"',
        BASE + SOURCE,
    ],
)
def test_editors_are_shown_what_the_schema_can_say(text: str) -> None:
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.Draft202012Validator(json_schema.schema()).validate(tomllib.loads(text))


def test_time_zones_are_known_on_a_machine_that_has_none() -> None:
    """As in a slim container: they come with the relay."""
    code = (
        "from infra.config.schedule import mistakes\n"
        "for zone in ('UTC', 'Europe/Berlin'): print(list(mistakes('sources.s', '0 3 * * *', zone)))"
    )

    told = subprocess.run(  # noqa: S603  # our own Python
        [sys.executable, "-c", code], env={**os.environ, "PYTHONTZPATH": ""}, capture_output=True, text=True, check=True
    )

    assert told.stdout == "[]\n[]\n"
