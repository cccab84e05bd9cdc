"""What stands under the functions in a chaos run does what it is ordered to, in a process as the local AWS has them."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.chaos.faults import Orders

if TYPE_CHECKING:
    from collections.abc import Callable

PYTHON = Path(__file__).parents[2] / ".venv-aws" / "bin" / "python"
HANDLER = """
import datetime, json, sys
from datetime import datetime as clock, UTC
import boto3
from botocore.config import Config

def handler(event, context):
    config = Config(retries={"total_max_attempts": 1})
    client = boto3.client("dynamodb", endpoint_url=event["url"], config=config)
    item = {"pk": {"S": event["pk"]}, "sk": {"S": "EVENT"}, "kind": {"S": "EVENT"}}
    try:
        client.put_item(TableName=event["table"], Item=item)
    except Exception as error:
        return type(error).__name__ + ":" + str((getattr(error, "response", 0) or {}).get("Error", {}).get("Code", ""))
    return "saved"
"""
WORKER = """
import importlib, json, sys
sys.path.insert(0, ".")
handler = importlib.import_module("ingest").handler
for line in sys.stdin:
    print(json.dumps(handler(json.loads(line), None)), flush=True)
"""


class Function:
    """A function under orders, as a process of its own; a new one for each call."""

    def __init__(self, folder: Path, url: str, table: str) -> None:
        self.orders = Orders(folder)
        self.table = table
        self._folder, self._event = folder, {"url": url, "table": table}
        (folder / "ingest.py").write_text(HANDLER)

    def call(self, pk: str, order: str = "") -> tuple[int, str]:
        """Return its exit status and what it answered."""
        event = self._event | {"pk": pk, "headers": {"X-Chaos": order}}
        run = self.run(WORKER, json.dumps(event))
        return run.returncode, json.loads(run.stdout or '""')

    def run(self, code: str, given: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        """Run *code* in a process as the local AWS starts a worker."""
        keys = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "test")
        environment = {"PATH": os.defpath, "AWS_DEFAULT_REGION": "us-east-1", "AWS_LAMBDA_FUNCTION_NAME": "ingest"}
        environment |= keys | self.orders.variables() | variables
        return subprocess.run(  # noqa: S603  # our own code
            [PYTHON, "-c", code], cwd=self._folder, env=environment, input=given, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip


@pytest.fixture
def function(tmp_path: Path, local_clients: Any) -> Function:
    """A function whose handler saves an event."""
    name = local_clients.new_name()
    keys = [("pk", "HASH"), ("sk", "RANGE")]
    local_clients.dynamodb.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key, _ in keys],
        KeySchema=[{"AttributeName": key, "KeyType": type_} for key, type_ in keys],
        BillingMode="PAY_PER_REQUEST",
    )
    return Function(tmp_path, local_clients.url, name)


@pytest.fixture
def saved(function: Function, local_clients: Any) -> Callable[[], set[str]]:
    """Return what is in the table."""
    return lambda: {it["pk"]["S"] for it in local_clients.dynamodb.scan(TableName=function.table)["Items"]}


def test_without_an_order_nothing_happens(function: Function, saved: Callable[[], set[str]]) -> None:
    assert function.call("a") == (0, "saved")
    assert saved() == {"a"}
    assert function.orders.struck().total() == 0


@pytest.mark.parametrize(
    ("order", "status", "answer", "there"),
    [
        ("kill:verify", 137, "", set()),
        ("kill:save", 137, "", {"a"}),
        ("kill:ack", 137, "", {"a"}),
        ("dynamodb:down", 0, "EndpointConnectionError:", set()),
        ("dynamodb:void", 0, "ReadTimeoutError:", {"a"}),
    ],
)
def test_an_order_strikes_where_it_says(
    function: Function, saved: Callable[[], set[str]], order: str, status: int, answer: str, there: set[str]
) -> None:
    assert function.call("a", order) == (status, answer)
    assert saved() == there
    assert function.orders.struck() == {order: 1}


def test_a_throttled_table_says_so_as_aws_does(function: Function, saved: Callable[[], set[str]]) -> None:
    _, answer = function.call("a", "dynamodb:throttle")

    assert answer.partition(":")[2] in {"ProvisionedThroughputExceededException", "ThrottlingException"}
    assert saved() == set()


def test_an_outage_befalls_everybody_until_it_ends(function: Function) -> None:
    function.orders.tell(outage={"dynamodb": "down"})
    during = function.call("a")
    function.orders.tell(outage={})

    assert during == (0, "EndpointConnectionError:")
    assert function.call("a") == (0, "saved")


def test_an_order_that_waits_is_taken_once(function: Function) -> None:
    function.orders.order("ingest kill:ack")

    assert [function.call("a")[0], function.call("b")[0]] == [137, 0]


def test_the_clock_is_the_harness_and_moves_while_a_function_runs(function: Function) -> None:
    """What the function imports later is the moved class, and still a datetime in every respect that counts."""
    code = """
import datetime, sys
from datetime import UTC, datetime as clock
real = type(clock.fromisoformat("2026-01-01") - datetime.timedelta(0))
print((clock.now(UTC)).isoformat(), flush=True)
assert isinstance(clock.now(UTC), clock) and clock.now(UTC) > clock.fromisoformat("2020-01-01T00:00:00+00:00")
assert clock.fromtimestamp(0, UTC).year == 1970
"""
    function.orders.set_clock(86_400, 0)

    run = function.run(code)

    ahead = datetime.fromisoformat(run.stdout.strip()) - datetime.now(UTC)
    assert 86_390 < ahead.total_seconds() < 86_401, run.stderr


def test_a_process_that_is_no_function_is_left_alone(function: Function) -> None:
    function.orders.set_clock(86_400, 0)

    run = function.run("import datetime; print(datetime.datetime)", CHAOS_FOLDER="")

    assert run.stdout.strip() == "<class 'datetime.datetime'>"
