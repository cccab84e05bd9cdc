"""URL groups and queues, as PyPI's ``qstash`` sees them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from unittest.mock import ANY

import pytest
from qstash.errors import QStashError
from qstash.log import LogState
from qstash.queue import Queue
from qstash.url_group import Endpoint

if TYPE_CHECKING:
    from qstash import QStash

from tests.waiting import eventually

from .steps import SINK, fresh, id_of, rows, states


class TestUrlGroups:
    """Groups of endpoints."""

    def test_endpoints_keep_their_order_and_an_upsert_changes_by_name(self, sdk: QStash) -> None:
        """A name is the endpoint's identity where it has one, else its URL."""
        group = fresh("group")
        sdk.url_group.upsert_endpoints(group, [{"name": "n", "url": SINK + "1"}, {"url": SINK + "2"}])
        sdk.url_group.upsert_endpoints(group, [{"url": SINK + "2"}, {"name": "n", "url": SINK + "3"}])

        found = sdk.url_group.get(group)

        assert found.name == group
        assert found.endpoints == [Endpoint(SINK + "3", "n"), Endpoint(SINK + "2", None)]
        assert found.created_at <= found.updated_at <= time.time() * 1000 + 1_000
        assert found in sdk.url_group.list()

    def test_endpoints_go_by_name_or_by_url_and_the_group_with_the_last(self, sdk: QStash) -> None:
        """A group without endpoints isn't one."""
        group = fresh("group")
        sdk.url_group.upsert_endpoints(group, [{"name": it, "url": SINK + it} for it in ("1", "2", "3")])

        sdk.url_group.remove_endpoints(group, [{"name": "1"}, {"url": SINK + "2"}])
        assert sdk.url_group.get(group).endpoints == [Endpoint(SINK + "3", "3")]

        sdk.url_group.remove_endpoints(group, [{"url": SINK + "3"}])
        with pytest.raises(QStashError, match="status: 404"):
            sdk.url_group.get(group)

    def test_a_deleted_group_is_gone_and_may_be_deleted_again(self, sdk: QStash) -> None:
        """Deleting is idempotent; a publish to the group is answered with 404."""
        group = fresh("group")
        sdk.url_group.upsert_endpoints(group, [{"url": SINK}])

        sdk.url_group.delete(group)
        sdk.url_group.delete(group)

        assert group not in [it.name for it in sdk.url_group.list()]
        with pytest.raises(QStashError, match=f"status: 404, .*topic {group} not found"):
            sdk.message.publish(url_group=group)


class TestQueues:
    """Queues: made, changed, paused, listed, deleted."""

    def test_a_queue_reads_back_as_it_was_made(self, sdk: QStash) -> None:
        """Every field is there, of its type."""
        name = fresh("queue")

        sdk.queue.upsert(name, parallelism=2, paused=True)

        queue = sdk.queue.get(name)
        assert queue == Queue(name, 2, created_at=ANY, updated_at=ANY, lag=0, paused=True)
        assert queue.created_at <= queue.updated_at <= time.time() * 1000 + 1_000
        assert queue in sdk.queue.list()

    def test_an_upsert_sets_everything(self, sdk: QStash) -> None:
        """What an upsert doesn't name falls back to its default, for the SDK sends it all."""
        name = fresh("queue")
        sdk.queue.upsert(name, parallelism=2, paused=True)
        before = sdk.queue.get(name)

        sdk.queue.upsert(name)

        after = sdk.queue.get(name)
        assert (after.parallelism, after.paused, after.created_at) == (1, False, before.created_at)

    def test_a_paused_queue_takes_messages_and_delivers_none(self, sdk: QStash) -> None:
        """Its lag counts what waits; resumed, it delivers all, in order."""
        name = fresh("queue")
        sdk.queue.upsert(name)
        sdk.queue.pause(name)
        ids = [id_of(sdk.message.enqueue(queue=name, url=f"{SINK}{it}")) for it in range(2)]
        paused = sdk.queue.get(name)
        assert rows(sdk, id_of(sdk.message.publish(url=SINK)), LogState.DELIVERED)  # what came later, and isn't held
        before = [states(sdk, it) for it in ids]

        sdk.queue.resume(name)

        assert (paused.paused, paused.lag, before) == (True, 2, [["CREATED"]] * 2)
        first, second = (rows(sdk, it, LogState.DELIVERED)[0].time for it in ids)
        assert first <= second
        eventually(lambda: sdk.queue.get(name).lag == 0, "the queue is empty")
        assert not sdk.queue.get(name).paused

    def test_a_deleted_queue_is_gone_with_its_messages(self, sdk: QStash) -> None:
        """Deleting is idempotent, and drops what waits."""
        name = fresh("queue")
        sdk.queue.upsert(name, paused=True)
        message_id = id_of(sdk.message.enqueue(queue=name, url=SINK))

        sdk.queue.delete(name)
        sdk.queue.delete(name)

        assert name not in [it.name for it in sdk.queue.list()]
        with pytest.raises(QStashError, match="status: 404"):
            sdk.queue.get(name)
        with pytest.raises(QStashError, match="status: 404"):
            sdk.message.get(message_id)
