"""What PyPI's ``qstash`` is refused, what test hosts answer it, and what a plan allows it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from qstash.errors import DailyMessageLimitExceededError, QStashError, RateLimitExceededError
from qstash.log import LogState
from qstash.message import PublishResponse

from tests.local_qstash import running_qstash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qstash import QStash

from .steps import SINK, Connection, dead_letter, fresh, id_of, rows, waiting


class TestRefusals:
    """What the SDK raises, and what it says."""

    def test_a_stranger_is_turned_away(self, connection: Connection) -> None:
        """An unknown token is 401, whatever is called."""
        stranger = connection.client("wrong")

        for call in (stranger.queue.list, stranger.message.cancel_all):
            with pytest.raises(QStashError, match=r"status: 401, .*unable to authenticate: invalid token"):
                call()

    def test_a_token_to_read_with_only_reads(self, sdk: QStash, connection: Connection) -> None:
        """With the read-only token, what isn't a GET is refused and changes nothing."""
        message_id, queue = waiting(sdk), fresh("queue")
        reader = connection.client(connection.facts.read_only_token)
        refused: list[Callable[[], object]] = [
            lambda: reader.message.publish(url=SINK),
            lambda: reader.message.cancel(message_id),
            lambda: reader.queue.upsert(queue),
            reader.message.cancel_all,
            reader.signing_key.rotate,
        ]

        for call in refused:
            with pytest.raises(QStashError, match="status: 403"):
                call()

        assert reader.message.get(message_id) == sdk.message.get(message_id)
        assert queue not in [it.name for it in reader.queue.list()]

    @pytest.mark.parametrize(
        ("options", "refusal"),
        [
            ({"deduplication_id": "a:b"}, "status: 400, .*DeduplicationId cannot contain ':'"),
            ({"delay": "soon"}, "status: 400, .*Upstash-Delay"),
            ({"retry_delay": "exec(1)"}, "status: 400, .*Upstash-Retry-Delay"),
            ({"callback": "ftp://sink.requestcatcher.com"}, "status: 400, .*invalid scheme"),
            ({"url": "ftp://sink.requestcatcher.com"}, "status: 400, .*endpoint has invalid scheme"),
            ({"delay": "3650d"}, "status: 412, .*quota maxDelay exceeded"),
            ({"retries": 1_000}, "status: 412, .*quota maxRetries exceeded"),
            ({"body": b"x" * (11 * 1024 * 1024)}, "status: 412, .*quota maxMessageSize exceeded"),
        ],
        ids=lambda it: next(iter(it)) if isinstance(it, dict) else "",
    )
    def test_a_publish_that_cant_be_kept_is_refused(self, sdk: QStash, options: dict[str, Any], refusal: str) -> None:
        """400 says what is wrong with it, 412 which quota it exceeds; nothing is published."""
        label = fresh("label")

        with pytest.raises(QStashError, match=refusal):
            sdk.message.publish(**({"url": SINK, "label": label} | options))

        assert sdk.log.list(filter={"label": label}).logs == []

    def test_a_name_that_is_none_is_refused(self, sdk: QStash) -> None:
        """Queues and groups are named with letters, digits, dots, dashes and underscores."""
        with pytest.raises(QStashError, match="status: 400"):
            sdk.queue.upsert("a b")
        with pytest.raises(QStashError, match="status: 400"):
            sdk.url_group.upsert_endpoints("a:b", [{"url": SINK}])


class TestTestHosts:
    """The public hosts that clients are tried on, answered inside the server."""

    @pytest.mark.parametrize(
        ("url", "method", "status", "body"),
        [
            ("https://mock.httpstatus.io/503", "POST", 503, "503 Service Unavailable"),
            ("http://mock.httpstatus.io/400?sleep=5", "PUT", 400, "400 Bad Request"),
            ("https://example.com", "POST", 405, None),
            ("https://example.org/a", "GET", 404, None),
            ("https://httpbin.org/status/418", "POST", 418, None),
        ],
    )
    def test_a_host_fails_as_it_is_known_to(
        self, sdk: QStash, url: str, method: Any, status: int, body: str | None
    ) -> None:
        """With its status, and with a text where that is known."""
        found = dead_letter(sdk, id_of(sdk.message.publish(url=url, method=method, retries=0)))

        assert (found.response_status, found.method) == (status, method)
        assert body in (None, found.response_body)

    @pytest.mark.parametrize(
        ("url", "method"),
        [
            ("https://mock.httpstatus.io/204", "POST"),
            ("https://example.com", "GET"),
            ("https://example.org/", "GET"),
            ("https://httpbin.org/status/201", "DELETE"),
            ("https://any.requestcatcher.com/path", "POST"),
            ("https://api.openai.com/v1/embeddings", "POST"),
            ("https://api.resend.com/emails", "POST"),
        ],
    )
    def test_a_host_takes_what_it_is_known_to_take(self, sdk: QStash, url: str, method: Any) -> None:
        """The message is delivered at the first attempt."""
        message_id = id_of(sdk.message.publish(url=url, method=method, retries=0))

        assert len(rows(sdk, message_id, LogState.DELIVERED)) == 1

    def test_a_name_neednt_resolve_to_be_published_to(self, sdk: QStash) -> None:
        """Where there is no internet, nothing does."""
        assert sdk.message.get(waiting(sdk, url="https://nowhere.invalid/hook")).url == "https://nowhere.invalid/hook"


class TestLimits:
    """What an account of the free plan is told when it asks for more than it has."""

    @pytest.fixture
    def free(self, connection: Connection) -> Iterator[QStash]:
        """Run a server with the limits of the free plan; return a client of it."""
        with running_qstash("--test-hosts", "--plan", "free") as facts:
            limited = Connection(connection.flavour, facts, connection.runner)
            yield limited.client(facts.token)
            limited.close()

    def test_the_messages_of_a_day_come_to_an_end(self, free: QStash) -> None:
        """The thousandth is taken and the next one isn't; the SDK knows the quota from a burst by its headers."""
        free.message.batch([{"url": SINK, "delay": "1h"} for _ in range(1_000)])

        with pytest.raises(DailyMessageLimitExceededError) as caught:
            free.message.publish(url=SINK)

        assert (caught.value.limit, caught.value.remaining) == ("1000", "0")
        assert 0 <= int(caught.value.reset or "") - time.time() <= 86_400
        assert free.queue.list() == []

    def test_a_burst_of_calls_that_manage_is_slowed_down(self, free: QStash) -> None:
        """More than a hundred in a second are refused; publishing isn't counted among them."""

        def call_again_and_again() -> None:
            for _ in range(2_000):
                free.queue.list()

        with pytest.raises(RateLimitExceededError) as caught:
            call_again_and_again()

        assert (caught.value.limit, caught.value.remaining) == ("100", "0")
        assert abs(int(caught.value.reset or "") - time.time()) <= 2
        assert isinstance(free.message.publish(url=SINK), PublishResponse)

    @pytest.mark.parametrize(
        ("options", "quota"),
        [({"delay": "8d"}, "maxDelay"), ({"body": "x" * 1_048_577}, "maxMessageSize"), ({"timeout": "16m"}, "")],
        ids=["delay", "size", "timeout"],
    )
    def test_a_message_beyond_the_plan_is_refused(self, free: QStash, options: dict[str, Any], quota: str) -> None:
        """A day too late, a byte too long, a minute too slow."""
        with pytest.raises(QStashError, match=f"status: 412, .*quota {quota}"):
            free.message.publish(url=SINK, **options)

    def test_there_are_so_many_groups_queues_and_schedules(self, free: QStash) -> None:
        """One group, ten queues, two places in each, ten schedules; what is there may still be changed."""
        free.url_group.upsert_endpoints("one", [{"url": SINK}])
        for number in range(10):
            free.queue.upsert(f"q{number}", parallelism=2)
            free.schedule.create(destination=SINK, cron="@daily", schedule_id=f"s{number}")
        too_much: list[Callable[[], object]] = [
            lambda: free.url_group.upsert_endpoints("two", [{"url": SINK}]),
            lambda: free.queue.upsert("q0", parallelism=3),
            lambda: free.queue.upsert("q10"),
            lambda: free.message.enqueue(queue="q10", url=SINK),
            lambda: free.schedule.create(destination=SINK, cron="@daily"),
        ]

        for call in too_much:
            with pytest.raises(QStashError, match=r"status: 412, .*quota"):
                call()

        free.url_group.upsert_endpoints("one", [{"url": SINK + "2"}])
        free.queue.upsert("q0", parallelism=1)
        free.schedule.create(destination=SINK, cron="@hourly", schedule_id="s0")
        assert (len(free.url_group.get("one").endpoints), free.queue.get("q0").parallelism) == (2, 1)
        assert free.schedule.get("s0").cron == "@hourly"
