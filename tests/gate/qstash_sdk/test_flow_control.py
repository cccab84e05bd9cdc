"""Flow control, as PyPI's ``qstash`` sees it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from qstash.errors import QStashError
from qstash.log import LogState

if TYPE_CHECKING:
    from qstash import QStash

from tests.waiting import eventually

from .steps import SINK, fresh, id_of, rows, states, waiting


class TestFlowControl:
    """Limits under a key."""

    def test_a_key_is_there_as_soon_as_its_publish_is_answered(self, sdk: QStash) -> None:
        """With the limits of the newest publish; nothing is paused or pinned."""
        key = fresh("key")
        waiting(sdk, flow_control={"key": key, "parallelism": 2})
        waiting(sdk, flow_control={"key": key, "parallelism": 3, "rate": 4, "period": 60})

        found = sdk.flow_control.get(key)

        assert (found.key, found.parallelism_max, found.rate_max, found.rate_period) == (key, 3, 4, 60)
        assert (found.parallelism_count, found.rate_count, found.wait_list_size) == (0, 0, 0)
        assert (found.is_paused, found.is_pinned_parallelism, found.is_pinned_rate) == (False, False, False)

    def test_pinned_limits_stand_until_they_are_unpinned(self, sdk: QStash) -> None:
        """A publish can't change them; unpinning one leaves the other."""
        key = fresh("key")
        waiting(sdk, flow_control={"key": key, "parallelism": 1, "rate": 1, "period": 1})

        sdk.flow_control.pin(key, {"parallelism": 3, "rate": 20, "period": 120})
        waiting(sdk, flow_control={"key": key, "parallelism": 7, "rate": 7, "period": 7})
        pinned = sdk.flow_control.get(key)
        sdk.flow_control.unpin(key, {"parallelism": True, "rate": False})
        waiting(sdk, flow_control={"key": key, "parallelism": 8, "rate": 8, "period": 8})
        unpinned = sdk.flow_control.get(key)

        assert (pinned.parallelism_max, pinned.rate_max, pinned.rate_period) == (3, 20, 120)
        assert (pinned.is_pinned_parallelism, pinned.is_pinned_rate) == (True, True)
        assert (unpinned.is_pinned_parallelism, unpinned.is_pinned_rate) == (False, True)
        assert (unpinned.parallelism_max, unpinned.rate_max, unpinned.rate_period) == (8, 20, 120)

    def test_a_paused_key_lets_its_messages_wait(self, sdk: QStash) -> None:
        """They are counted while they wait, and delivered once it is resumed."""
        key = fresh("key")
        waiting(sdk, flow_control={"key": key, "parallelism": 1})
        sdk.flow_control.pause(key)
        message_id = id_of(sdk.message.publish(url=SINK, flow_control={"key": key, "parallelism": 1}))
        eventually(lambda: sdk.flow_control.get(key).wait_list_size, "it waits")
        paused, before = sdk.flow_control.get(key), states(sdk, message_id)

        sdk.flow_control.resume(key)

        assert (paused.is_paused, paused.wait_list_size, before) == (True, 1, ["CREATED"])
        assert len(rows(sdk, message_id, LogState.DELIVERED)) == 1
        resumed = sdk.flow_control.get(key)
        assert (resumed.is_paused, resumed.wait_list_size) == (False, 0)

    def test_a_spent_rate_holds_messages_back_until_it_is_reset(self, sdk: QStash) -> None:
        """One an hour: the second waits, and goes when the count is set back."""
        limit: Any = {"key": fresh("key"), "rate": 1, "period": "1h"}
        first, second = (id_of(sdk.message.publish(url=SINK, flow_control=limit)) for _ in range(2))
        rows(sdk, first, LogState.DELIVERED)
        spent = sdk.flow_control.get(limit["key"])
        held = states(sdk, second)

        sdk.flow_control.reset_rate(limit["key"])

        assert (spent.rate_count, spent.rate_max, spent.wait_list_size, held) == (1, 1, 1, ["CREATED"])
        assert abs(spent.rate_period_start - time.time()) < 60
        assert len(rows(sdk, second, LogState.DELIVERED)) == 1

    def test_a_reset_rate_counts_from_nothing(self, sdk: QStash) -> None:
        """Even while the key is paused."""
        limit: Any = {"key": fresh("key"), "rate": 5, "period": "1h"}
        rows(sdk, id_of(sdk.message.publish(url=SINK, flow_control=limit)), LogState.DELIVERED)
        before = sdk.flow_control.get(limit["key"]).rate_count

        sdk.flow_control.pause(limit["key"])
        sdk.flow_control.reset_rate(limit["key"])

        assert (before, sdk.flow_control.get(limit["key"]).rate_count) == (1, 0)

    def test_deliveries_in_flight_are_counted(self, sdk: QStash) -> None:
        """Under their key and of the whole account, whose limit is told."""
        key = fresh("key")
        slow = "https://mock.httpstatus.io/200?sleep=400"
        message_id = id_of(sdk.message.publish(url=slow, flow_control={"key": key, "parallelism": 4}))

        of_key = eventually(lambda: sdk.flow_control.get(key).parallelism_count, "it runs")
        of_all = sdk.flow_control.get_global_parallelism()

        assert of_key == 1
        assert 1 <= of_all.parallelism_count < of_all.parallelism_max
        rows(sdk, message_id, LogState.DELIVERED)
        eventually(lambda: sdk.flow_control.get(key).parallelism_count == 0, "it ends")

    def test_a_key_that_nothing_was_published_with_isnt_there(self, sdk: QStash) -> None:
        """404, as for everything that isn't."""
        with pytest.raises(QStashError, match="status: 404"):
            sdk.flow_control.get(fresh("key"))
