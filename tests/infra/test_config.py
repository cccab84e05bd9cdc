"""relay.toml: every mistake is told by its path and line, all at once; what is right is flattened for the functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from infra.config.flatten import flatten
from infra.config.load import load
from infra.config.mistakes import ConfigError
from infra.config.schemes import built_in_schemes, mistakes
from relay.config.settings import Settings
from tests.flat import bus, group, publishing, route
from tests.infra.conftest import CONFIG, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Told = Callable[..., dict[str, str]]

BASE = """
[relay]
name = "relay"
[sources.github]
scheme = "github"
to = ["audit"]
[url_groups.audit.destinations]
ledger = "https://example.com/in"
"""


@pytest.fixture
def told(tmp_path: Path) -> Told:
    """Return a function that loads a text and returns what was told, by path."""

    def load_text(text: str, *, allow_local: bool = False) -> dict[str, str]:
        file = tmp_path / "relay.toml"
        file.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            load(file, allow_local=allow_local)
        return {it.path: it.message for it in caught.value.mistakes}

    return load_text


def test_the_file_of_this_repository_is_right_and_hands_github_to_a_bus() -> None:
    flat = flatten(load(ROOT / "relay.toml"))

    assert flat == {
        "name": "relay",
        "retention_days": 30,
        "sources": {
            "github": {
                "scheme": "github",
                "row": {
                    "signature": ["X-Hub-Signature-256: sha256={hex}"],
                    "id": ["X-GitHub-Delivery"],
                    "type": ["X-GitHub-Event", "body:action"],
                    "forward": ["X-GitHub-*"],
                    "retries_for_s": 0,
                },
                "routes": [route("audit", how=publishing(retries=5), event_types=None, when=None, transform=None)],
                "replays": "flag",
                "reopen": "dead",
            }
        },
        "url_groups": {"audit": group("ledger", retries=5)},
        "destinations": {"ledger": bus("audit")},
        "queues": {},
        "flow_controls": {},
    }


def test_settings_are_resolved_and_defaults_filled_in(tmp_path: Path) -> None:
    (tmp_path / "relay.toml").write_text(CONFIG, encoding="utf-8")

    flat = flatten(load(tmp_path / "relay.toml"))

    assert flat["sources"]["my-acme"]["row"] == {
        "signature": ["X-Acme-Signature: {base64}"],
        "algorithm": ["hmac-sha512"],
        "type": ["body:kind"],
    }
    assert flat["url_groups"]["ci"] == group("builder", retry_delay="1000 * (1 + retried)", timeout_s=120)
    assert list(flat["destinations"]) == ["ledger", "books", "builder"]
    assert flat["retention_days"] == 14


def test_the_functions_read_what_is_flattened(tmp_path: Path) -> None:
    (tmp_path / "relay.toml").write_text(CONFIG, encoding="utf-8")

    settings = Settings.of({"RELAY_BASE_URLS": "https://r.example"}, flatten(load(tmp_path / "relay.toml")))

    assert settings.source("my-acme").row.algorithms == ("hmac-sha512",)
    assert settings.groups["ci"].publishing.timeout_s == 120
    assert settings.destination_url("ledger") == "https://r.example/qstash/deliver/ledger"


def test_every_built_in_scheme_is_a_row_that_the_engine_takes() -> None:
    assert {name: found for name, it in built_in_schemes().items() if (found := mistakes(it.row()))} == {}


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        # relay
        ('[relay]\nname = "Relay"', "relay.name", "lower-case"),
        ('[relay]\nname = "my.relay"', "relay.name", "no dot"),
        ('[relay]\nname = "1relay"', "relay.name", "beginning with a letter"),
        (f'[relay]\nname = "{"a" * 31}"', "relay.name", "30 characters"),
        ("[relay]\nretention_days = 0", "relay.retention_days", "greater than or equal to 1"),
        ('[relay]\nretention_days = "30"', "relay.retention_days", "whole number"),
        ("[relay]\nretention_days = true", "relay.retention_days", "whole number"),
        ("[relay]\nretention = 3", "relay.retention", "did you mean 'retention_days'?"),
        ('[relay]\nurl = "http://a.example"', "relay.url", "must be https"),
        ('[relay]\nurl = "https://a.example.com/?b=c"', "relay.url", "a domain alone, like https://a.example.com:"),
        ('[relay]\nurl = "https://a.example.com/in"', "relay.url", "a domain alone, like https://a.example.com:"),
        ('[relay]\nurl = "https://a.example.com/in/"', "relay.url", "docs/domains.md"),
        ('[relay]\nurl = "https://a.example.com/#in"', "relay.url", "fragment"),
        ('[relay]\nurl = "https://bücher.example.com"', "relay.url", "xn--"),
        ('[relay]\nurl = "https://u:p@a.example.com"', "relay.url", "user name or password"),
        ('[relay]\nurl = "https://10.1.2.3"', "relay.url", "not a public address"),
        ('[relay]\nurl = "https://8.8.8.8"', "relay.url", "8.8.8.8 is an address"),
        ('[relay]\nurl = "https://[2606:4700:4700::1111]"', "relay.url", "is an address"),
        ('[relay]\nurl = "https://relay.local"', "relay.url", "not a public name"),
        ("relay = 3", "relay", "table"),
        ("[source.x]", "source", "did you mean 'sources'?"),
        # sources
        ('[sources."a.b"]\nscheme = "github"\nto = ["x"]', "sources.a.b", "letters, digits"),
        ('[sources."-"]\nscheme = "github"\nto = ["x"]', "sources.-", "a letter or a digit"),
        (f'[sources.{"a" * 65}]\nscheme = "github"\nto = ["x"]', "sources." + "a" * 65, "64 characters"),
        ('[sources.x]\nto = ["g"]', "sources.x.scheme", "is missing"),
        ('[sources.x]\nscheme = "github"', "sources.x.to", "is missing"),
        ('[sources.x]\nscheme = "github"\nto = []', "sources.x.to", "is empty"),
        ('[sources.x]\nscheme = "github"\nto = "g"', "sources.x.to", "list"),
        ('[sources.x]\nscheme = "github"\nto = [1]', "sources.x.to[0]", "string"),
        ('[sources.x]\nscheme = "github"\nroutes = []', "sources.x.routes", "is empty"),
        ('[sources.x]\nscheme = "github"\ncron = "* * * * *"', "sources.x.scheme", "take it out"),
        ('[[sources.x.routes]]\nto = ["g"]', "sources.x.routes[0].to", "no URL group 'g'"),
        ('[sources.x]\nscheme = "githb"', "sources.x.scheme", "did you mean 'github'?"),
        ('[sources.x]\nscheme = "zzz"', "sources.x.scheme", "`relay scheme list`"),
        # schemes
        ("[schemes.x]", "schemes.x.signature", "is missing"),
        ('[schemes.x]\nsignature = "X-Sig"', "schemes.x.signature", "must look like"),
        ('[schemes.x]\nsignature = "X-Sig: {hax}"', "schemes.x.signature", "must look like"),
        ('[schemes.x]\nsignature = "X: {hex}"\nalgorithm = "md5"', "schemes.x.algorithm", "hmac-sha256"),
        ('[schemes.x]\nsignature = "X: {hex}"\nid = "body:"', "schemes.x.id[0]", "and a path"),
        ('[schemes.x]\nsignature = "X: {hex}"\nid = "X Y"', "schemes.x.id[0]", "header's name"),
        ('[schemes.x]\nsignature = "X: {hex}"\ntype = ["a b"]', "schemes.x.type[0]", "header's name"),
        ('[schemes.x]\nsignature = "X: {hex}"\nforward = ["*"]', "schemes.x.forward[0]", "'authorization'"),
        ('[schemes.x]\nsignature = "X: {hex}"\nforward = ["Cook*"]', "schemes.x.forward[0]", "'cookie'"),
        ('[schemes.x]\nsignature = "X: {hex}"\nforward = ["a b"]', "schemes.x.forward[0]", "header's name"),
        ('[schemes.x]\nsignature = "X: {hex}"\ntimeout_s = 0', "schemes.x.timeout_s", "greater"),
        ('[schemes.x]\nsignature = "X: {hex}"\ntolerance_s = 3', "schemes.x.tolerance_s", "list"),
        ('[schemes.x]\nsignature = "X: {hex}"\ntolerance_s = [3]', "schemes.x.tolerance_s", "at least 2"),
        ('[schemes.x]\nsignature = "X: {hex}"\ntolerance_s = [3, -1]', "schemes.x.tolerance_s[1]", "greater"),
        ('[schemes.x]\nsignature = "X: {hex}"\nsigns = "{body}.{tim e}"', "schemes.x.signs", "field {tim e}"),
        ('[schemes.x]\nsignature = "X: {hex}"\nsigns = "{bdy}"', "schemes.x.signs", "did you mean {body}?"),
        ('[schemes.x]\nsignature = "X: {hex}"\nsigns = "static"', "schemes.x.signs", "every request"),
        ('[schemes.x]\nsignature = "X: {hex}"\nsigns = "{url}"', "schemes.x.signs", "every request"),
        ('[schemes.x]\nsignature = "X: {hex}"\nsigns = "{time}.{body}"', "schemes.x.signs", "nothing says where"),
        ('[schemes.x]\nsignature = "X: {hex}"\nalgorithm = "sha256"', "schemes.x.signs", "{secret}"),
        ('[schemes.x]\nsignature = "X: {text}"', "schemes.x.signature", "is written as {hex}"),
        ('[schemes.x]\nsignature = "X: {jwt}"', "schemes.x.signature", "is written as {hex}"),
        ('[schemes.x]\nsignature = "X: {hex}"\nalgorithm = "token"', "schemes.x.signature", "is written as {text}"),
        ('[schemes.x]\nsignature = "X: {hex}"\nalgorithm = "jwt-hs256"', "schemes.x.signature", "is written as {jwt}"),
        ('[schemes.x]\nsignature = "X: {hex}"\nid = "claim:jti"', "schemes.x.id", "no JWT"),
        (
            '[schemes.x]\nsignature = "X: t={time},v1={hex}"\nseparator = ","\ntolerance_s = [300, 300]',
            "schemes.x.tolerance_s",
            "put {time} into signs",
        ),
        (
            '[schemes.x]\nsignature = "X: {hex}"\ntime = "X-T"\ntolerance_s = [300, 300]',
            "schemes.x.tolerance_s",
            "put {time} into signs",
        ),
        ('[schemes.x]\nsignature = "X: id={secret:id},v={hex}"\nseparator = ","', "schemes.x.signature", "same item"),
        ('[schemes.x]\nsignature = "X: {hex}"\nsigns = "{body"', "schemes.x.signs", "brace"),
        ('[schemes.x]\nsignature = "X: {hex}"\nsigns = "@mine"', "schemes.x.signs", "@twilio"),
        ('[schemes.x]\nsignature = "X: {hex}"\nkey = "rot13"', "schemes.x.key", "whsec"),
        ('[schemes.x]\nsignature = "X: {hex}"\ntime = "X-T"\ntime_format = "h"', "schemes.x.time_format", "iso"),
        ('[schemes.x]\nsignature = "X: {hex}"\ntolerance_s = [3, 3]', "schemes.x.tolerance_s", "time"),
        ('[schemes.x]\nsignature = "X: {hex}"\nhandshake = "wave"', "schemes.x.handshake", "slack"),
        (
            '[schemes.x]\nsignature = "X: {hex}"\nalgorithm = ["hmac-sha1", "hmac-sha256"]',
            "schemes.x.algorithm",
            "one of",
        ),
        ('[schemes.x]\nsignature = "X: {hex}"\nalgorithm = "@mine"', "schemes.x.algorithm", "one of"),
        ('[schemes.x]\nsignature = "X: {hex}"\nrequires = { "a b" = "1" }', "schemes.x.requires.a b", "header's name"),
        ('[schemes.x]\nsignature = "X: {hex}"\nclaims = { iss = "{b b}" }', "schemes.x.claims", "field {b b}"),
        ('[schemes.x]\nsignature = "X: {hex}"\nanswer = { status = 302 }', "schemes.x.answer.status", "less than"),
        ('[schemes.x]\nsignature = "X: {hex}"\nretries_for_s = -1', "schemes.x.retries_for_s", "greater"),
        ('[sources.github-api]\nscheme = "github"\nto = []', "sources.github-api", "GitHub's API token"),
        *(
            (f'[sources.a]\nscheme = "github"\nto = []\n{name} = "keep"', f"sources.a.{name}", "'flag' or 'refuse'")
            for name in ("suspected_replays", "replays")
        ),
        (
            '[sources.a]\nscheme = "github"\nto = []\nreplays = "flag"\nsuspected_replays = "refuse"',
            "sources.a.replays",
            "take replays out",
        ),
        ('[schemes.github]\nsignature = "X: {hex}"', "schemes.github", "built in"),
        # how much at once, and who hears of what is wrong
        *(
            (
                f'[relay]\nalarm_emails = ["{address}"]',
                "relay.alarm_emails[0]",
                "an e-mail address like ops@example.com",
            )
            for address in [
                *("ops", "ops@example", "@example.com", "ops@", "a b@example.com", "ops@example..com"),
                *("ops@-a.com", ".ops@example.com", "a@b@example.com", "Ops <ops@example.com>", "mailto:a@example.com"),
                f"{'a' * 250}@example.com",
            ]
        ),
        ('[relay]\nalarm_emails = "ops@example.com"', "relay.alarm_emails", "list"),
        (
            '[relay]\nalarm_emails = ["ops@example.com", "Ops@example.com"]',
            "relay.alarm_emails",
            "'Ops@example.com' is named twice",
        ),
        ("[relay]\nthrottle = { rate = 0, burst = 1 }", "relay.throttle.rate", "greater than or equal to 1"),
        ("[relay]\nthrottle = { rate = 1, burst = 0 }", "relay.throttle.burst", "greater than or equal to 1"),
        ("[relay]\nthrottle = { rate = 1.5, burst = 2 }", "relay.throttle.rate", "whole number"),
        ("[relay]\nthrottle = { rate = true, burst = 2 }", "relay.throttle.rate", "whole number"),
        ("[relay]\nthrottle = { rate = 10 }", "relay.throttle.burst", "is missing"),
        ("[relay]\nthrottle = { burst = 10 }", "relay.throttle.rate", "is missing"),
        ("[relay]\nthrottle = 10", "relay.throttle", "table"),
        ("[relay]\nthrottle = { rate = 1, burst = 2, brust = 3 }", "relay.throttle.brust", "did you mean 'burst'?"),
        ("[relay]\nconcurrency = { ingest = 0 }", "relay.concurrency.ingest", "greater than or equal to 1"),
        ('[relay]\nconcurrency = { record = "5" }', "relay.concurrency.record", "whole number"),
        ("[relay]\nconcurrency = { inges = 5 }", "relay.concurrency.inges", "did you mean 'ingest'?"),
        ("[relay]\nconcurrency = { sweep = 5 }", "relay.concurrency.sweep", "known: claim, deliver"),
        # URL groups and destinations
        ("[url_groups.g]", "url_groups.g.destinations", "needs a destination"),
        ("[url_groups.g.destinations]", "url_groups.g.destinations", "needs a destination"),
        ("[url_groups.g]\nretries = -1", "url_groups.g.retries", "greater than or equal to 0"),
        ('[url_groups.g]\ntimeout = "30"', "url_groups.g.timeout", "a unit"),
        ('[url_groups.g]\ntimeout = "0s"', "url_groups.g.timeout", "a unit"),
        ('[url_groups.g]\ntimeout = "1d"', "url_groups.g.timeout", "limit of QStash's plan 'payg'"),
        ("[url_groups.g]\ntimeout = 30", "url_groups.g.timeout", "a unit"),
        ("[url_groups.g]\nretry = 30", "url_groups.g.retry", "did you mean 'retries'?"),
        ("[url_groups.g.flow_control]\nrate = 3", "url_groups.g.flow_control.key", "is missing"),
        ('[url_groups.g.destinations]\n"a.b" = "https://a.example.com"', "url_groups.g.destinations.a.b", "letters"),
        ("[url_groups.g.destinations]\nd = 3", "url_groups.g.destinations.d", "must be a URL"),
        ("[url_groups]\ng = 3", "url_groups.g", "must be a table of callbacks, "),
        ('[url_groups.g.destinations]\nd = "http://a.example"', "url_groups.g.destinations.d.url", "https"),
        ("[url_groups.g.destinations.d]", "url_groups.g.destinations.d", "exactly one of url, eventbridge"),
        (
            '[url_groups.g.destinations.d]\nurl = "https://a.example.com"\neventbridge = "default"',
            "url_groups.g.destinations.d.eventbridge",
            "exactly one of url, eventbridge",
        ),
        (
            '[url_groups.g.destinations.d]\nurl = "https://a.example.com"\ndetail_type = "x"',
            "url_groups.g.destinations.d.detail_type",
            "goes with eventbridge",
        ),
        (
            '[url_groups.g.destinations.d]\nsqs = "orders.fifo"',
            "url_groups.g.destinations.d.group_id",
            "and the name with it",
        ),
        (
            '[url_groups.g.destinations.d]\nsqs = "orders"\nheaders = { X-A = "b" }',
            "url_groups.g.destinations.d.headers",
            "goes with url",
        ),
        (
            '[url_groups.g.destinations.d]\nurl = "https://a.example.com"\nheaders = { Relay-Event-Id = "b" }',
            "url_groups.g.destinations.d.headers.Relay-Event-Id",
            "can't be a header of a destination",
        ),
        (
            '[url_groups.g.destinations.d]\nurl = "https://a.example.com"\nheaders = { Authorization = "b" }',
            "url_groups.g.destinations.d.headers.Authorization",
            'say { secret = "NAME" }',
        ),
        ('[url_groups.g.destinations.d]\nsns = "arn:aws:sns:x:1:y"', "url_groups.g.destinations.d.sns", "or the ARN"),
        (
            '[url_groups.g.destinations.d]\nsns = "arn:aws:sqs:eu-west-1:111122223333:y"',
            "url_groups.g.destinations.d.sns",
            "isn't one that AWS takes",
        ),
        (
            '[url_groups.g.destinations.d]\ns3 = "arn:aws:s3:::bucket"',
            "url_groups.g.destinations.d.s3",
            "the name alone",
        ),
        (
            '[url_groups.g.destinations.d]\nsqs = "arn:aws:sqs:eu-west-1:111122223333:y.fifo"',
            "url_groups.g.destinations.d.group_id",
            "set both",
        ),
        (
            '[url_groups.g.destinations.d]\neventbridge = "a b"\ndetail_type = "x"',
            "url_groups.g.destinations.d.eventbridge",
            "isn't one that AWS takes",
        ),
        (
            '[url_groups.g.destinations.d]\ns3 = "10.0.0.1"',
            "url_groups.g.destinations.d.s3",
            "isn't one that AWS takes",
        ),
        ('[url_groups.g.destinations.d]\ns3 = "a..b"', "url_groups.g.destinations.d.s3", "isn't one that AWS takes"),
        *(
            (
                f'[url_groups.g.destinations.d]\nurl = "https://a.example.com"\nheaders = {{ {headers} }}',
                f"url_groups.g.destinations.d.headers.{at}",
                said,
            )
            for headers, at, said in [
                (r'X-A = "a\r\nX-B: c"', "X-A", "printable ASCII"),
                ('X-A = "é"', "X-A", "printable ASCII"),
                ('X-A = ""', "X-A", "printable ASCII"),
                ('X-A = "a", x-a = "b"', "x-a", "named twice"),
                ('X-A = { secrt = "a" }', "X-A.secrt", "did you mean 'secret'?"),
                ('X-A = "sig_7kYjw48mhY7kAjqNGcy6cr29RJ6r"', "X-A", "looks like a secret"),
                ('X-A = "eyJVc2VySUQiOiJ4IiwiUGFzc3dvcmQiOiJ5In0="', "X-A", "looks like a secret"),
                ('X-A = "-----BEGIN RSA PRIVATE KEY-----"', "X-A", "looks like a secret"),
            ]
        ),
        (
            '[url_groups.g.destinations]\nd = "https://a.example.com"\ne = "https://a.example.com"',
            "url_groups.g.destinations.e.url",
            "each event twice",
        ),
        (
            '[url_groups.g.destinations]\nd = { s3 = "abc" }\n[url_groups.h.destinations]\nf = { s3 = "abc" }',
            "url_groups.h.destinations.f.s3",
            "would overwrite the objects of 'd'",
        ),
        ("# once sk_live_0123456789abcdef", "", "a comment that holds"),
        ('[url_groups.g.destinations.d]\nul = "https://a.example.com"', "url_groups.g.destinations.d.ul", "'url'"),
    ],
)
def test_a_mistake_is_told_by_its_path_with_what_to_do(told: Told, text: str, path: str, said: str) -> None:
    mistakes = told(text)

    assert said in mistakes.get(path, ""), mistakes


@pytest.mark.parametrize(
    "expression",
    [
        *("import os", "retried.__class__", "__import__('os')", "lambda: 1", "retried ** 2", "pow(2, tries)", ""),
        *(
            "[1]",
            "'a'",
            "1 if retried else 2",
            "True",
            "pow(2",
            "sin(1)",
            "pow(x=1)",
            "1 < 2",
            "pow * 2",
            "pow()",
            "(" * 300,
            "-" * 9999 + "1",
        ),
    ],
)
def test_a_retry_delay_that_isnt_qstashs_arithmetic_is_refused(told: Told, expression: str) -> None:
    mistakes = told(
        f'{BASE}\n[url_groups.g]\nretry_delay = "{expression}"\ndestinations = {{ d = "https://a.example.com" }}'
    )

    assert "QStash's arithmetic" in mistakes["url_groups.g.retry_delay"]


@pytest.mark.parametrize(
    "expression",
    ["1000", "1000 * (1 + retried)", "pow(2, retried) * 1000", "max(1000, pow(2, retried) * 100)", "-1.5 + sqrt(4)"],
)
def test_a_retry_delay_of_qstashs_documentation_is_taken_as_it_is(tmp_path: Path, expression: str) -> None:
    file = tmp_path / "relay.toml"
    file.write_text(BASE.replace("[url_groups", f'[url_groups.audit]\nretry_delay = "{expression}"\n[url_groups', 1))

    assert flatten(load(file))["url_groups"]["audit"]["publishing"]["retry_delay"] == expression


@pytest.mark.parametrize(
    "address", ["ops@example.com", "first.last+relay@sub.example.co.uk", "a_b%c'd@x-y.io", "1@1.example.museum"]
)
def test_an_address_that_people_have_hears_the_alarms(tmp_path: Path, address: str) -> None:
    file = tmp_path / "relay.toml"
    file.write_text(BASE.replace("[relay]", f'[relay]\nalarm_emails = ["{address}"]'), encoding="utf-8")

    assert load(file).relay.alarm_emails == [address]


def test_nothing_limits_a_relay_that_doesnt_say_so(tmp_path: Path) -> None:
    """A limit that nobody set would lose webhooks, and in a new account fail the deploy."""
    file = tmp_path / "relay.toml"
    file.write_text(BASE, encoding="utf-8")

    relay = load(file).relay

    assert (relay.throttle, relay.concurrency, relay.alarm_emails) == (None, None, [])


def test_a_missing_url_group_is_told_with_the_nearest_name(told: Told) -> None:
    assert told(BASE.replace('["audit"]', '["audt"]')) == {
        "sources.github.to": "there is no URL group 'audt': did you mean 'audit'?"
    }


def test_a_url_group_named_twice_is_told(told: Told) -> None:
    assert "twice" in told(BASE.replace('["audit"]', '["audit", "audit"]'))["sources.github.to"]


def test_a_destinations_name_is_unique_in_the_whole_file(told: Told) -> None:
    mistakes = told(BASE + '[url_groups.b.destinations]\nledger = "https://b.example.com/"')

    assert mistakes == {
        "url_groups.b.destinations.ledger": "'ledger' is also in URL group 'audit': give one of both another name"
    }


def test_a_url_group_has_as_many_destinations_as_qstash_takes(told: Told) -> None:
    many = "\n".join(f'd{number} = "https://a.example.com/"' for number in range(100))

    assert "101 destinations" in told(BASE + many)["url_groups.audit.destinations"]


def test_a_source_is_not_named_like_qstashs_own_secret(told: Told) -> None:
    mistakes = told(BASE + '[sources.qstash]\nscheme = "github"\nto = ["audit"]\n')

    assert "choose another name" in mistakes["sources.qstash"]


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file_with_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text(
        '[relay]\nname = "A.b"\n\n[sources.x]  # who\nscheme = "githb"\nto = ["nowhere"]\n\n'
        '[url_groups.g]\ntimeout = "3"\n[url_groups.g.destinations]\nd = "http://10.0.0.1"\n'
    )

    with pytest.raises(ConfigError) as caught:
        load(file)

    assert [(it.path, it.line) for it in caught.value.mistakes] == [
        ("relay.name", 2),
        ("sources.x.scheme", 5),
        ("sources.x.to", 6),
        ("url_groups.g.timeout", 9),
        ("url_groups.g.destinations.d.url", 11),
    ]
    assert str(caught.value).splitlines()[1].startswith(f"{file}:5: sources.x.scheme: there is no scheme 'githb'")


def test_a_file_that_begins_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text(BASE, encoding="utf-8-sig")

    assert set(load(file).sources) == {"github"}


def test_an_unknown_table_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text(BASE + "[surces.x]\n")

    with pytest.raises(ConfigError) as caught:
        load(file)

    assert [(it.path, it.line) for it in caught.value.mistakes] == [("surces", len(BASE.splitlines()) + 1)]


def test_broken_toml_is_told_with_its_line(told: Told, tmp_path: Path) -> None:
    assert "isn't TOML" in told("[relay]\nname = \n")[""]

    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "relay.toml")

    assert caught.value.mistakes[0].line == 2


def test_a_file_that_isnt_there_or_isnt_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")

    for name, said in (("none.toml", "can't be read: No such file"), (".", "can't be read"), ("binary.toml", "UTF-8")):
        with pytest.raises(ConfigError, match=said):
            load(tmp_path / name)


def test_this_machine_is_a_destination_only_of_a_local_relay(told: Told, tmp_path: Path) -> None:
    text = BASE.replace("https://example.com", "http://127.0.0.1:8000")

    assert told(text).keys() == {"url_groups.audit.destinations.ledger.url"}

    assert load(tmp_path / "relay.toml", allow_local=True).url_groups["audit"].destinations["ledger"].url is not None
