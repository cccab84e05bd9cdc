"""What a body says, decoded: of every kind of body that senders are known to send, and through the whole relay."""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.model import content
from relay.model.content import ENTITY_HEADERS, UNPACKED_FREE_BYTES, UNPACKED_MAX_BYTES, read
from relay.model.delivery import Delivery, Status
from relay.publishing.routing import facts
from relay.targets.deliver import _encoding
from relay.targets.handover import HandOver
from relay.verification.verify import describe
from tests.examples import examples
from tests.flat import publishing, route
from tests.unit.relay.signed import ROWS, github, received
from tests.unit.relay.world import FLAT

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from relay.ingest.accept import Acceptance
    from tests.unit.relay.world import World

HELD = {"action": "opened", "number": 7, "repository": {"private": True, "name": "café"}}
TEXT = json.dumps(HELD, ensure_ascii=False).encode()
FORM = "application/x-www-form-urlencoded"
AS_FORM = urlencode({"payload": TEXT.decode()}).encode()
MULTIPART = "multipart/form-data; boundary=xYzZY"
TYPES = [None, "", "application/json", FORM, MULTIPART, "text/plain", "application/octet-stream", "multipart/mixed"]


def parts(*fields: tuple[str, str], file: bytes | None = None, boundary: str = "xYzZY") -> bytes:
    """Return a multipart form."""
    told = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode() for name, value in fields]
    if file is not None:
        head = b'Content-Disposition: form-data; name="attachment1"; filename="a.pdf"\r\nContent-Type: application/pdf'
        told.append(head + b"\r\n\r\n" + file)
    delimiter = b"--" + boundary.encode()
    return b"".join(delimiter + b"\r\n" + it + b"\r\n" for it in told) + delimiter + b"--\r\n"


def deflated(body: bytes, *, head: bool) -> bytes:
    pack = zlib.compressobj(wbits=15 if head else -15)
    return pack.compress(body) + pack.flush()


@pytest.mark.parametrize(
    ("body", "content_type", "encoding", "value"),
    [
        (TEXT, "application/json", None, HELD),
        (TEXT, "application/json; charset=utf-8", None, HELD),
        (TEXT, None, None, HELD),
        (TEXT, "text/plain; charset=UTF-8", None, HELD),  # as Amazon SNS sends it
        (TEXT, FORM, None, HELD),  # as curl --data says of everything
        (b"\xef\xbb\xbf" + TEXT, "application/json", None, HELD),
        (AS_FORM, FORM, None, HELD),
        (urlencode({"payload": json.dumps([1])}).encode(), FORM, None, [1]),
        (urlencode({"payload": "text"}).encode(), FORM, None, {"payload": "text"}),
        (urlencode({"payload": "{", "a": "1"}).encode(), FORM, None, {"payload": "{", "a": "1"}),
        (urlencode({"payload": "{}", "a": "1"}).encode(), FORM, None, {"payload": {}, "a": "1"}),
        (b"command=%2Fdeploy&text=now+please&text=or+later", FORM, None, {"command": "/deploy", "text": "or later"}),
        (b"a=1&b=two words \xc3\xa9", FORM, None, {"a": "1", "b": "two words é"}),
        (parts(("payload", TEXT.decode()), file=b"\x00\xff" * 99), MULTIPART, None, HELD),
        (
            parts(("from", "a@example.com"), ("headers", '{"x": 1}'), file=b"%PDF"),
            MULTIPART,
            None,
            {"from": "a@example.com", "headers": {"x": 1}},
        ),
        (b"\r\n" + parts(("a", "1\r\n2")), MULTIPART, None, {"a": "1\r\n2"}),
        (gzip.compress(TEXT), "application/json", "gzip", HELD),
        (gzip.compress(TEXT), "application/json", None, HELD),
        (gzip.compress(AS_FORM), FORM, "x-gzip", HELD),
        (gzip.compress(parts(("a", "1"))), MULTIPART, "gzip", {"a": "1"}),
        (TEXT, "application/json", "gzip", HELD),  # what a proxy unpacked
        (deflated(TEXT, head=True), "application/json", "deflate", HELD),
        (deflated(TEXT, head=False), "application/json", "Deflate", HELD),
        (b"", "application/json", None, None),
        (b"null", None, None, None),
    ],
)
def test_what_a_body_says(body: bytes, content_type: str | None, encoding: str | None, value: Any) -> None:
    said = read(body, content_type, encoding)

    assert (said.value, said.trouble) == (value, None)


@pytest.mark.parametrize(
    ("body", "content_type", "encoding", "trouble"),
    [
        (b"<a/>", "application/xml", None, "it is neither JSON nor a form"),
        (b"{", "application/json", None, "it is neither JSON nor a form"),
        (b"[" * 100_000, "application/json", None, "it is JSON nested too deeply"),
        (b'{"n": %s}' % (b"9" * 5000), "application/json", None, "it is JSON with a number of over 4300 digits"),
        (b"\xff\xfe\x00", "application/octet-stream", None, "it is neither JSON nor a form"),
        (b"a&" * 2_000_000, FORM, None, "it is a form of over 5000 fields"),
        (gzip.compress(TEXT)[:-4], "application/json", "gzip", "it is broken gzip"),
        (gzip.compress(TEXT) + b"x", "application/json", "gzip", "it is broken gzip"),
        (b"\x1f\x8b{}", "application/json", "gzip", "it is broken gzip"),
        (gzip.compress(b" " * 9_000_000), "application/json", "gzip", "it is gzip that unpacks to over"),
        (gzip.compress(b" " * (UNPACKED_FREE_BYTES + 1)), None, "gzip", f"unpacks to over {UNPACKED_FREE_BYTES} bytes"),
        (b"\x0b\x02\x80", "application/json", "br", "it is packed as br, which the relay doesn't unpack"),
        (TEXT[:-1], "application/json", "gzip, br", "it is packed as gzip, br, which"),
    ],
)
def test_what_cant_be_read_says_why(body: bytes, content_type: str, encoding: str | None, trouble: str) -> None:
    said = read(body, content_type, encoding)

    assert said.value is None
    assert trouble in str(said.trouble)


def test_gzip_unpacks_within_its_bounds_however_little_it_was_packed() -> None:
    most = b"%d" % 10**9 * (UNPACKED_MAX_BYTES // 10 + 1)
    packed = gzip.compress(most, 0)

    assert f"unpacks to over {UNPACKED_MAX_BYTES} bytes" in str(read(packed, None, "gzip").trouble)
    assert content.unpacked(packed) == packed


FIELDS = st.dictionaries(st.sampled_from(["payload", "a", "b c"]), st.text(max_size=9), min_size=1)
ENCODINGS = st.sampled_from([None, "gzip", "deflate", "br"])
BODIES = st.one_of(
    st.dictionaries(st.text(max_size=3), st.integers()).map(lambda it: json.dumps(it).encode()),
    FIELDS.map(lambda it: urlencode(it).encode()),
    FIELDS.map(lambda it: parts(*((name, quote(value)) for name, value in it.items()))),
)


@settings(max_examples=examples(100))
@given(BODIES, st.sampled_from([bytes, gzip.compress]), st.sampled_from(TYPES), st.sampled_from(TYPES))
def test_no_header_makes_the_same_bytes_say_something_else(
    body: bytes, pack: Callable[[bytes], bytes], first: str | None, second: str | None
) -> None:
    """Nothing signs them: who has one signed request mustn't make two events of it."""
    sent = pack(body)

    assert read(sent, first, None).value == read(sent, second, "gzip").value


@settings(max_examples=examples(200))
@given(st.binary(max_size=60), st.sampled_from([bytes, gzip.compress]), st.sampled_from(TYPES), ENCODINGS)
def test_any_bytes_are_read(
    body: bytes, pack: Callable[[bytes], bytes], content_type: str | None, encoding: str | None
) -> None:
    said = read(pack(body), content_type, encoding)

    assert said.value is None or said.trouble is None
    if said.value is not None:
        json.dumps(said.value)


# -- through the relay --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (TEXT, {}),
        (AS_FORM, {"content-type": FORM}),
        (gzip.compress(TEXT), {"content-encoding": "gzip"}),
        (parts(("payload", TEXT.decode())), {"content-type": MULTIPART}),
    ],
    ids=["json", "form", "gzip", "multipart"],
)
def test_routes_and_transforms_see_what_was_said_however_it_was_sent(
    world: World, body: bytes, headers: dict[str, str]
) -> None:
    taken = route("ci", event_types=["push.op*"], when="body.repository.private", transform="body.repository.name")
    event = sent(world, [taken, route("audit", when="body.action == 'closed'", name="closed")], body, headers).event

    assert (event.event_type, [*event.expected], event.route_error) == ("push.opened", ["builder"], None)
    assert [it.content for it in world.wire.published] == ['"café"'.encode()]


def sent(world: World, routes: list[dict[str, Any]], body: bytes, headers: dict[str, str]) -> Acceptance:
    """Send a webhook to a relay with *routes*."""
    world.deploy(FLAT | {"sources": {"github": FLAT["sources"]["github"] | {"routes": routes}}})
    return world.post(body, headers=headers)


def forwarded(request: httpx.Request) -> dict[str, str]:
    """Return the headers of the body that destinations get."""
    names = {f"upstash-forward-{it}": it for it in ENTITY_HEADERS}
    return {names[name]: value for name, value in request.headers.items() if name in names}


def test_the_headers_of_a_body_go_where_its_bytes_go_and_nowhere_else(world: World) -> None:
    headers = {"content-encoding": "gzip", "content-language": "de", "x-other": "1"}
    narrow = publishing(forward_headers=["x-github-event"])
    routes = [route("ci", transform="body.action"), route("audit", how=narrow, name="whole")]
    sent(world, routes, gzip.compress(TEXT), headers)

    by_group = {str(it.url).rpartition("/")[2]: it for it in world.wire.published}
    assert forwarded(by_group["relay.audit"]) == {"content-encoding": "gzip", "content-language": "de"}
    assert by_group["relay.audit"].content == gzip.compress(TEXT)
    assert forwarded(by_group["relay.ci"]) == {}


def test_a_claim_check_is_not_encoded_as_the_body_is_that_it_stands_for(world: World) -> None:
    sent(world, [route("ci")], b"\x00" * (1024 * 1024 + 1), {"content-encoding": "br"})

    (request,) = world.wire.published
    assert forwarded(request) == {}


UNREADABLE = "the body can't be read: it is neither JSON nor a form"
BOMB = gzip.compress(b"[" + b"0," * 4_000_000 + b"0]")


@pytest.mark.parametrize(
    ("routes", "told"),
    [
        ([route("ci", when="body.action == 'opened'")], UNREADABLE),
        ([route("ci", transform="{a: body.action}")], UNREADABLE),
        ([route("ci", how=publishing(delay={"expression": "body.wait_s"}))], UNREADABLE),
        ([route("ci", how=publishing(labels=["{body.action}"]))], UNREADABLE),
        ([route("ci", how=publishing(flow_control={"key": "{body.account}", "rate": 1}))], UNREADABLE),
        ([route("ci", event_types=["push*"])], None),
    ],
)
def test_a_body_that_cant_be_read_is_told_where_anything_needs_it(
    world: World, routes: list[dict[str, Any]], told: str | None
) -> None:
    event = sent(world, routes, b"<a/>", {"content-type": "application/xml"}).event

    assert (event.event_type, event.route_error) == ("push", told)


def test_a_bomb_is_told_and_goes_on_as_it_came(world: World) -> None:
    event = sent(world, [route("ci")], BOMB, {"content-encoding": "gzip"}).event

    assert event.event_type == "unknown"
    assert "the body can't be read: it is gzip that unpacks to over" in str(event.route_error)
    assert world.wire.published[0].content == BOMB


def test_a_transform_of_a_body_that_cant_be_read_says_so(world: World) -> None:
    event = sent(world, [route("ci", transform="body.action")], b"<a/>", {"content-type": "text/xml"}).event

    delivery = world.delivery(event, "builder")
    assert delivery.status is Status.UNPUBLISHABLE
    assert UNREADABLE in str(delivery.reason)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_slack_is_understood_in_every_way_that_it_sends(pack: Callable[[bytes], bytes]) -> None:
    held = {"type": "block_actions", "trigger_id": "t.1", "user": {"id": "U1"}}
    body = urlencode({"payload": json.dumps(held)}).encode()
    request = received({"content-type": FORM}, pack(body))

    said = describe(ROWS["slack"], request)

    assert (said.idempotency_key, said.event_type) == ("t.1", "block_actions")


def test_nothing_is_unpacked_or_decoded_before_its_signature_is_checked() -> None:
    packed = gzip.compress(b'{"action":"opened"}')
    request = received(github(packed), packed)

    assert request.find("body:action") is None
    assert describe(ROWS["github"], request).event_type == "push.opened"


def test_what_aws_targets_get_says_what_was_packed(world: World) -> None:
    packed = gzip.compress(TEXT)
    event = sent(world, [route("audit")], packed, {"content-encoding": "gzip"}).event
    assert (_encoding(event, packed), _encoding(event, TEXT)) == ("gzip", None)

    def of(body: bytes) -> HandOver:
        delivery = Delivery.of(event, "ledger")
        target = {"kind": "eventbridge", "name": "default"}
        return HandOver(
            target, event, delivery.id, delivery.generation, body, "application/json", {}, _encoding(event, body)
        )

    assert json.loads(of(packed).detail)["body"] == HELD
    assert of(packed).message[1]["Content-Encoding"]["StringValue"] == "gzip"
    assert facts(event, packed)["body"] == HELD


def test_aws_targets_get_method_and_query(world: World) -> None:
    event = replace(world.post(b"{}").event, method="GET", raw_query="msisdn=491&text=one")
    delivery = Delivery.of(event, "ledger")
    over = HandOver({"kind": "sqs", "name": "q"}, event, delivery.id, delivery.generation, b"{}", None, {})

    detail, (_, attributes) = json.loads(over.detail), over.message
    assert (detail["method"], detail["query"]) == ("GET", "msisdn=491&text=one")
    assert attributes["Relay-Query"]["StringValue"] == "msisdn=491&text=one"
