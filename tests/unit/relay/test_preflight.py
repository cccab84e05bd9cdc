"""What most often makes a first deploy fail is found before anything is made that stays, and it says what to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from botocore.exceptions import ClientError

import preflight as function
from relay.deployment.preflight import check_names, check_token, is_first, token_and_url
from relay.errors import OperatorError, QStashError, UpstreamError
from relay.qstash.client import QStash
from relay.qstash.http import QStashHttp
from relay.qstash.regions import EU_BY_NAME, REGIONS
from relay.runtime import deadline
from relay.runtime.secrets import Secrets
from tests.unit.relay.operator import Context

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.qstash.client import QStash as Client

EU, US = REGIONS["EU"], REGIONS["US"]
HELD = {"token": "t0ken", "url": "https://qstash.upstash.io"}
KEYS = {"current": "sig_a", "next": "sig_b"}
NOT_HERE = {"error": "user (1) not found in this region (eu-central-1). Check that you are using the correct endpoint."}


class SecretsManager:
    """Secrets Manager with one secret, or none."""

    class exceptions:  # noqa: N801  # boto3's name
        class ResourceNotFoundException(Exception): ...

        class InvalidRequestException(Exception): ...

    def __init__(self, text: str | None) -> None:
        self.text = text

    def get_secret_value(self, SecretId: str) -> dict[str, str]:  # noqa: N803  # boto3's name
        assert SecretId == "shop/qstash"
        if self.text is None:
            raise self.exceptions.ResourceNotFoundException
        return {"SecretString": self.text}


def read(held: object, relay: str = "shop") -> tuple[str, str]:
    text = held if isinstance(held, str) or held is None else json.dumps(held)
    return token_and_url(Secrets(SecretsManager(text)), "shop/qstash", relay)


# -- the secret ------------------------------------------------------------------------------------------------------


def test_without_a_secret_it_says_which_command_sets_it() -> None:
    with pytest.raises(OperatorError) as told:
        read(None)

    assert "there is no secret shop/qstash" in str(told.value)
    assert "`relay --name shop secret set qstash`" in str(told.value)
    assert len(str(told.value)) < 200


@pytest.mark.parametrize(
    "held",
    ["no JSON", "[]", "{}", {"url": EU}, {"token": ""}, {"token": 5}, {"token": "two words"}, {"token": "tökén"}],
    ids=str,
)
def test_a_secret_that_cannot_be_used_is_refused_and_not_shown(held: object) -> None:
    with pytest.raises(OperatorError, match="secret set") as told:
        read(held)

    assert "two words" not in str(told.value)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://qstash.upstash.io",
            "qstash.upstash.io",
            "https://",
            "https://q.io/?a=b",
            "https://u:p@q.io",
            "ftp://q.io",
        ),
        *("https://q.io#x", "https://q.io:port", "https://q .io", 5, "https://[::1"),
    ],
)
def test_a_url_that_is_none_is_refused(url: object) -> None:
    with pytest.raises(OperatorError, match="--url URL"):
        read({"token": "t0ken", "url": url})


@pytest.mark.parametrize(
    ("held", "url"),
    [
        ({"token": "t0ken"}, EU),
        ({"token": "t0ken", "url": None}, EU),
        (HELD | {"url": f"{US}/"}, US),
        (HELD | {"url": "http://127.0.0.1:8080"}, "http://127.0.0.1:8080"),
    ],
)
def test_token_and_url_are_what_the_secret_says(held: object, url: str) -> None:
    assert read(held) == ("t0ken", url)


# -- the token ---------------------------------------------------------------------------------------------------------


def qstash_at(answers: dict[str, httpx.Response | Exception]) -> Callable[[str], Client]:
    """Return what connects to QStash, of which each host answers one thing."""

    def answer(request: httpx.Request) -> httpx.Response:
        assert (request.method, request.url.path) == ("GET", "/v2/keys")
        found = answers[f"https://{request.url.host}"]
        if isinstance(found, Exception):
            raise found
        return found

    return lambda url: QStash(QStashHttp("t0ken", url, transport=httpx.MockTransport(answer)))


@pytest.mark.parametrize("refusal", [httpx.Response(404, json=NOT_HERE), httpx.Response(401, json={"error": "no"})])
@pytest.mark.parametrize(("url", "other"), [(EU, US), (EU_BY_NAME, US), (US, EU)])
def test_a_token_of_the_other_region_is_told_with_the_command(url: str, other: str, refusal: httpx.Response) -> None:
    """QStash was seen to answer 404 to an account of the other region."""
    connect = qstash_at({url: refusal, other: httpx.Response(200, json=KEYS)})

    with pytest.raises(OperatorError) as told:
        check_token(connect, url, "relay")

    assert f"that token is of the other region: relay secret set qstash --url {other}" in str(told.value)


@pytest.mark.parametrize("there", [httpx.Response(401), httpx.ConnectError("no"), httpx.Response(503)], ids=str)
def test_a_token_that_neither_takes_is_wrong(there: Any) -> None:
    with pytest.raises(OperatorError, match=r"refuses the token \(401\).*secret set qstash") as told:
        check_token(qstash_at({EU: httpx.Response(401), US: there}), EU, "relay")

    assert "other region" not in str(told.value)


def test_a_qstash_elsewhere_has_no_other_region() -> None:
    """A token is sent to nobody but those it is for."""
    with pytest.raises(OperatorError, match=r"QStash at https://q\.example\.com refuses the token"):
        check_token(qstash_at({"https://q.example.com": httpx.Response(401)}), "https://q.example.com", "relay")


@pytest.mark.parametrize("there", [httpx.ConnectError("no"), httpx.Response(500), httpx.Response(429)], ids=str)
def test_a_qstash_that_is_away_has_refused_nothing(there: Any) -> None:
    with pytest.raises(QStashError, match=f"asked at {EU}: is QStash there"):
        check_token(qstash_at({EU: there, US: httpx.Response(200, json=KEYS)}), EU, "relay")


def test_what_fails_in_passing_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[httpx.Response | Exception] = [
        httpx.ReadTimeout("void"),
        httpx.Response(503),
        httpx.Response(200, json=KEYS),
    ]

    def answer(_: httpx.Request) -> httpx.Response:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    with deadline.within(lambda: 100):
        check_token(lambda url: QStash(QStashHttp("t0ken", url, transport=httpx.MockTransport(answer))), EU, "relay")

    assert (answers, slept) == ([], [1, 2])


# -- the name, and the first deploy ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("/v2/topics", {"name": "shop.audit", "endpoints": [{"name": "erp", "url": "https://erp.io/?key=s3cret"}]}),
        ("/v2/schedules", {"scheduleId": "shop.nightly", "destination": "https://x.io/?key=s3cret"}),
        ("/v2/queues", {"name": "shop.fifo", "parallelism": 1}),
    ],
)
def test_what_has_the_relays_name_already_is_told(path: str, there: dict[str, Any]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=[there] if request.url.path == path else [])

    qstash = QStash(QStashHttp("t0ken", EU, transport=httpx.MockTransport(answer)))
    with pytest.raises(OperatorError, match="make deploy TAKE_OVER=1") as told:
        check_names(qstash, "shop")

    assert "s3cret" not in str(told.value)
    check_names(qstash, "sho")
    check_names(qstash, "shopper")


class CloudFormation:
    def __init__(self, answer: str | Exception) -> None:
        self.answer = answer

    def describe_stacks(self, StackName: str) -> Any:  # noqa: N803  # boto3's name
        assert StackName == "arn:stack"
        if isinstance(self.answer, Exception):
            raise self.answer
        return {"Stacks": [{"StackStatus": self.answer}]}


@pytest.mark.parametrize(
    ("status", "first"),
    [("CREATE_IN_PROGRESS", True), ("UPDATE_IN_PROGRESS", False), ("UPDATE_ROLLBACK_IN_PROGRESS", False)],
)
def test_a_deploy_is_the_first_while_its_stack_is_created(status: str, *, first: bool) -> None:
    """One of before there was a preflight is updated: what QStash holds of its name is its own."""
    assert is_first("arn:stack", CloudFormation(status)) is first


def test_where_the_stack_cannot_be_asked_for_it_fails() -> None:
    denied = ClientError({"Error": {"Code": "AccessDenied"}}, "DescribeStacks")

    with pytest.raises(UpstreamError, match="CloudFormation: AccessDenied"):
        is_first("arn:stack", CloudFormation(denied))


# -- the function ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["preflight", "AWSCDK::CustomResourceProviderFramework::CREATE_FAILED"])
def test_its_end_does_nothing_and_never_fails(state: str) -> None:
    assert function.handler({"RequestType": "Delete", "PhysicalResourceId": state}, Context(left_s=0)) == {
        "PhysicalResourceId": state
    }
