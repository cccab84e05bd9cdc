"""Claim links: who has one gets the body byte for byte as long as the event is kept, and nobody makes one up."""

from __future__ import annotations

import hashlib
import json
import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

import claim
from relay import urls, wiring
from relay.ingest.accept import BODY_MAX_BYTES
from relay.model.ids import EventId, Generation
from relay.publishing.claim_checks import URL_LIVES_S
from relay.runtime import aws
from relay.storage.store import Store
from relay.urls import claim_url
from tests.unit.relay.operator import wired
from tests.unit.relay.world import BASE, MAC, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from relay.model.event import Event
    from tests.conftest import LocalClients

pytestmark = pytest.mark.local_aws

OBJECT = {"Bucket": "b-1", "Key": "bodies/x"}
LARGE = random.Random(413).randbytes(BODY_MAX_BYTES)  # noqa: S311  # the same each time


@pytest.fixture
def world(
    world: World, local_clients: LocalClients, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[World]:
    """Give a relay that the function claim finds, and whose client of S3 is its own: it makes the URLs."""
    variables = {"AWS_ENDPOINT_URL": local_clients.url, "AWS_DEFAULT_REGION": "us-east-1"}
    for variable, value in (variables | dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "test")).items():
        monkeypatch.setenv(variable, value)
    aws.made.cache_clear()
    name = world.store.bucket.name
    world.store = Store(name, name, now=world.clock, dynamodb=local_clients.dynamodb)
    world.store.deployment.save_keys(current="sig_a", following="sig_b", mac=MAC)
    wired(world, monkeypatch, tmp_path, "RELAY_BUCKET")
    yield world
    wiring.relay.cache_clear()
    aws.made.cache_clear()


def ask(link: str, method: str = "GET") -> dict[str, Any]:
    """Have the function claim answer *link* as the HTTP API hands it over."""
    path = link.removeprefix(BASE)
    names = dict(zip(("event_id", "sha256", "mac"), path.removeprefix("/claims/").split("/"), strict=True))
    asked = {"rawPath": path, "pathParameters": names, "requestContext": {"http": {"method": method}}}
    answer: dict[str, Any] = claim.handler(asked, None)
    return answer


def taken(world: World, body: bytes = LARGE) -> Event:
    """Have the relay take a large body in."""
    return world.save(body)


def code(answer: dict[str, Any]) -> str:
    return str(json.loads(answer["body"])["error"]["code"])


def test_a_link_leads_to_the_body_byte_for_byte(world: World) -> None:
    """Up to the largest that the relay takes, with the content type that its source gave."""
    event = taken(world)

    answer = ask(claim_url(BASE, MAC, event.id, event.sha256))

    assert answer["statusCode"] == 302
    assert answer["headers"]["cache-control"] == "no-store"
    got = httpx.get(answer["headers"]["location"], trust_env=False)
    assert got.content == LARGE
    assert hashlib.sha256(got.content).hexdigest() == event.sha256
    assert got.headers["content-type"] == "application/json"
    assert got.headers["content-disposition"].startswith("attachment")


def test_head_leads_to_what_head_may_ask(world: World) -> None:
    """A signature of S3 is for one method."""
    event = taken(world)

    answer = ask(claim_url(BASE, MAC, event.id, event.sha256), "HEAD")

    got = httpx.head(answer["headers"]["location"], trust_env=False)
    assert (got.status_code, got.headers["content-length"]) == (200, str(len(LARGE)))


def test_each_url_lives_for_minutes_and_each_answer_has_a_fresh_one(world: World) -> None:
    """A link that was published outlives any session; where it leads doesn't."""
    event = taken(world)
    link = claim_url(BASE, MAC, event.id, event.sha256)
    days = timedelta(days=world.settings.retention_days) - timedelta(minutes=1)
    lives = parse_qs(urlsplit(ask(link)["headers"]["location"]).query)

    world.clock.at += days
    late = ask(link)

    assert lives["X-Amz-Expires"] == [str(URL_LIVES_S)]
    assert lives["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert late["statusCode"] == 302


def test_a_link_to_what_isnt_kept_any_more_says_so(world: World) -> None:
    """DynamoDB deletes days later, and S3 has the body a day longer: neither shows."""
    event = taken(world)
    world.clock.at += timedelta(days=world.settings.retention_days)

    answer = ask(claim_url(BASE, MAC, event.id, event.sha256))

    assert (answer["statusCode"], code(answer)) == (410, "gone")


def test_a_link_to_a_body_that_the_event_doesnt_have_is_gone(world: World) -> None:
    """An id may come back after its record expired, with another body."""
    event = taken(world)

    answer = ask(claim_url(BASE, MAC, event.id, "ab" * 32))

    assert answer["statusCode"] == 410


def test_a_link_to_a_body_that_isnt_in_the_bucket_leads_nowhere(world: World) -> None:
    """Small ones stand in the table, and are carried."""
    event = taken(world, b"{}")

    assert ask(claim_url(BASE, MAC, event.id, event.sha256))["statusCode"] == 410


@pytest.mark.parametrize("part", [2, 3, 4])
def test_who_makes_a_link_up_learns_nothing(world: World, part: int) -> None:
    """The same 404 whatever he changes, and the table isn't even asked."""
    event = taken(world)
    parts = claim_url("", MAC, event.id, event.sha256).split("/")
    parts[part] = parts[part][:-1] + ("0" if parts[part][-1] != "0" else "1")
    calls: list[str] = []
    wiring.relay("RELAY_BUCKET").mac_key  # noqa: B018  # read once a cold start, whatever is asked
    world.store.table.client.meta.events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))

    answer = ask("/".join(parts))

    assert (answer["statusCode"], code(answer)) == (404, "not_found")
    assert calls == []


@pytest.mark.parametrize("mac", ["", "é" * 32, "\ud800", "0" * 5000])
@pytest.mark.usefixtures("world")
def test_any_text_for_a_mac_is_refused(mac: str) -> None:
    asked = {"pathParameters": {"event_id": "rly_x", "sha256": "\ud800", "mac": mac}}

    assert claim.handler(asked, None)["statusCode"] == 404


def test_neither_a_callbacks_mac_nor_a_claims_opens_the_other(world: World) -> None:
    """One key, two domains: the path of a callback is seen by QStash."""
    event = taken(world)
    kind, generation, scope = "claims", Generation(event.sha256), "x"
    callback = urls.CallbackAddress(kind, EventId(event.id), generation, scope).url(BASE, MAC)

    mac = callback.rpartition("/")[2]

    assert ask(f"{BASE}/claims/{event.id}/{event.sha256}/{mac}")["statusCode"] == 404


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("us-east-1", "b-1.s3.amazonaws.com"),  # its own, too
        ("eu-central-1", "b-1.s3.eu-central-1.amazonaws.com"),
        ("af-south-1", "b-1.s3.af-south-1.amazonaws.com"),
        ("cn-north-1", "b-1.s3.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", "b-1.s3.us-gov-west-1.amazonaws.com"),
    ],
)
def test_a_presigned_url_names_the_buckets_region(monkeypatch: pytest.MonkeyPatch, region: str, host: str) -> None:
    """Elsewhere S3 answers 400, or redirects to where the signature isn't good."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")

    made = aws.made.__wrapped__("s3", region, aws.PATIENCES[0])
    urls = [urlsplit(made.generate_presigned_url(it, Params=OBJECT)) for it in ("get_object", "head_object")]

    assert {it.netloc for it in urls} == {host}
    assert {parse_qs(it.query)["X-Amz-Credential"][0].split("/")[2] for it in urls} == {region}


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_an_endpoint_of_ones_own_has_the_bucket_in_the_path(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """A name below it would be nobody's."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "http://127.0.0.1:4566")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")

    made = aws.made.__wrapped__("s3", "eu-central-1", aws.PATIENCES[0])

    url = made.generate_presigned_url("get_object", Params=OBJECT)
    assert url.startswith("http://127.0.0.1:4566/b-1/bodies/x?")
