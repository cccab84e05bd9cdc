"""The samples in events/: each is a request that `relay send` can read, sign and post."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from cli.samples import read
from infra.config.schemes import built_in_schemes

EVENTS = Path(__file__).parents[2] / "events"
SAMPLES = sorted(EVENTS.glob("*/*.json"))
SIGNED_ON_PURPOSE = "*.forged.json"
# Each takes its headers from whoever configures it, so that no one request is a sample of it.
GENERIC_SCHEMES = {"hmac", "basic", "token", "jwt"}
# What a source proves itself with: `relay send` makes it anew, so a sample must not carry it.  Nor a timestamp that is
# only there to be signed: it would be stale.
PROOF_HEADERS = (
    "*signature*",
    "*hmac*",
    "authorization",
    "plaid-verification",
    "x-authorization-digest",
    "x-trello-webhook",
    "x-buildkite-token",
    "x-gitlab-token",
    "x-telegram-bot-api-secret-token",
    "content-sha256",
    "paypal-auth-algo",
    "paypal-cert-url",
    "paypal-transmission-sig",
    "paypal-transmission-time",
    "protocol",
    "box-delivery-timestamp",
    "finch-timestamp",
    "linear-timestamp",
    "svix-timestamp",
    "telnyx-timestamp",
    "twitch-eventsub-message-timestamp",
    "webhook-timestamp",
    "x-contentful-signed-headers",
    "x-contentful-timestamp",
    "x-hubspot-request-timestamp",
    "x-orb-timestamp",
    "x-slack-request-timestamp",
    "x-twilio-email-event-webhook-timestamp",
    "x-webflow-timestamp",
    "x-zm-request-timestamp",
)
PROOF_FIELDS = (
    "signature",
    "hmacSignature",
    "bt_signature",
    "event_hash",
    "SignatureVersion",
    "SigningCertURL",
    "clientState",
    "validationTokens",
    "webhookTimestamp",
)
# Words that other sources use for something else.
PROOF_FIELDS_OF = {"mailgun-inbound-form": ("timestamp", "token"), "slack": ("token",)}

each_sample = pytest.mark.parametrize("file", SAMPLES, ids=lambda file: f"{file.parent.name}/{file.stem}")


def recorded(file: Path) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(file.read_bytes())
    return event


def proofs(file: Path) -> list[str]:
    """Return the names of whatever *file*'s request proves its source with."""
    sample = read(file)
    headers = [it for it in sample.headers if any(fnmatchcase(it, pattern) for pattern in PROOF_HEADERS)]
    text = sample.body.decode(errors="replace")
    fields = [*PROOF_FIELDS, *PROOF_FIELDS_OF.get(file.parent.name, ())]
    # A key of JSON, a field of a form, or a part of a multipart body.
    named = '"{0}"\\s*:|(^|&){0}=|name="{0}"'
    return headers + [it for it in fields if re.search(named.format(it), text, re.IGNORECASE)]


def test_every_built_in_scheme_has_a_sample() -> None:
    """Whoever adds a source tries it with `relay send` first."""
    expected = built_in_schemes().keys() - GENERIC_SCHEMES

    assert expected - {file.parent.name for file in SAMPLES} == set()


@each_sample
def test_a_sample_is_addressed_to_the_source_of_its_directory(file: Path) -> None:
    """`relay send` takes the source from the path."""
    assert read(file).source == file.parent.name


@each_sample
def test_a_sample_says_the_same_thing_everywhere(file: Path) -> None:
    """API Gateway tells method, path and query twice."""
    event = recorded(file)
    http = event["requestContext"]["http"]

    assert event["version"] == "2.0"
    assert event["routeKey"] == event["requestContext"]["routeKey"] == "ANY /webhooks/{source}"
    assert event["rawPath"] == http["path"] == f"/webhooks/{event['pathParameters']['source']}"
    assert http["method"] in {"GET", "HEAD", "POST"}
    assert http["userAgent"] == event["headers"].get("user-agent", "")
    assert bool(event["rawQueryString"]) == bool(event.get("queryStringParameters"))


@each_sample
def test_a_sample_has_the_length_that_it_says(file: Path) -> None:
    """A request without a body says so, or says nothing."""
    length = recorded(file)["headers"].get("content-length", "0")

    assert length == str(len(read(file).body))


@each_sample
def test_a_sample_has_headers_in_lower_case(file: Path) -> None:
    """An HTTP API hands them over so."""
    names = list(recorded(file)["headers"])

    assert names == [it.lower() for it in names]


@each_sample
def test_a_sample_with_a_content_type_of_json_holds_json(file: Path) -> None:
    """Whatever the rest of the type: application/webhook+json, a version, a character set."""
    sample = read(file)
    if "json" in sample.headers.get("content-type", ""):
        assert isinstance(json.loads(sample.body), dict | list)


@each_sample
def test_a_sample_is_unsigned(file: Path) -> None:
    """What carries a signature is sent as it is, and fails; only a forgery may."""
    forged = fnmatchcase(file.name, SIGNED_ON_PURPOSE)

    assert bool(proofs(file)) == forged
