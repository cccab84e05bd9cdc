"""Replays as they stand in the table: what each is to replay, how far it has come, and whether it goes on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from relay.model.ids import from_iso, iso
from relay.model.replay import Job, State
from relay.storage.feed import Feed
from relay.storage.items import Item, shard_of, ttl

if TYPE_CHECKING:
    from collections.abc import Mapping

REPLAYS = "replays"  # the partitions of the feed
RUNNING = "replays#running"  # the one partition of what is due


class ReplayJobs(Feed):
    """The replays of a store."""

    def save_job(self, job: Job) -> None:
        """Save a new replay; one that runs is due at once."""
        self.table.put(_job_item(job, due_at=job.started_at if job.state is State.RUNNING else None))

    def job(self, replay_id: str) -> Job | None:
        """Return the replay, or None."""
        item = self.table.get(f"REPLAY#{replay_id}", "JOB")
        return None if item is None else _job_of(item)

    def replayed_deliveries(self, replay_id: str, limit: int) -> list[Item]:
        """Return the records of up to *limit* deliveries that the replay has started."""
        condition = "pk = :pk AND begins_with(sk, :prefix)"
        items, _ = self.table.page(condition, {":pk": f"REPLAY#{replay_id}", ":prefix": "dlv_"}, Limit=limit)
        return items

    def is_replayed_by(self, replay_id: str, delivery: str) -> bool:
        """Tell whether the replay has started the delivery."""
        return self.table.get(f"REPLAY#{replay_id}", delivery) is not None

    def jobs(self, limit: int) -> list[Job]:
        """Return the newest *limit* replays."""
        entries, _ = self.feed([REPLAYS], since="0", below="~", equal={}, limit=limit)
        return [job for it in entries if (job := self.job(it["pk"].removeprefix("REPLAY#"))) is not None]

    def due_jobs(self) -> list[str]:
        """Return the ids of the replays that are due to go on."""
        values = {":pk": RUNNING, ":now": iso(self.now())}
        items, _ = self.table.page("due_pk = :pk AND due_sk <= :now", values, IndexName="due")
        return [it["pk"].removeprefix("REPLAY#") for it in items]

    def advance_job(self, before: Job, after: Job, due_at: datetime | None) -> bool:
        """Save how far a running replay has come; return whether nobody stopped or advanced it meanwhile.

        Args:
            due_at: When it is to go on; None: it is done.
        """
        return self._put_over(before, _job_item(after, due_at))

    def turn_job(self, job: Job, state: State) -> bool:
        """Stop a running replay, or resume a stopped one; return whether it still was what *job* says."""
        item = _job_item(replace(job, state=state), due_at=self.now() if state is State.RUNNING else None)
        return self._put_over(job, item)

    def _put_over(self, before: Job, item: Item) -> bool:
        """Put *item* if the replay's state and position are still those of *before*; return whether they were."""
        values: Item = {":state": before.state.value, ":at": before.at}
        same = "#at = :at" if before.at is not None else "attribute_not_exists(#at)"
        return self.table.put_if(item, f"#state = :state AND {same}", values, ["state", "at"]) is None


def _job_item(job: Job, due_at: datetime | None) -> Item:
    started_at = iso(job.started_at)
    return {
        "pk": f"REPLAY#{job.id}",
        "sk": "JOB",
        "kind": "JOB",
        "state": job.state.value,
        "by": job.by,
        "reason": job.reason,
        "started_at": started_at,
        "expires_at": ttl(job.expires_at),
        "query": dict(job.query),
        "rate": job.rate,
        "at": job.at,
        "replayed": job.replayed,
        "skipped": job.skipped,
        "feed_pk": f"{REPLAYS}#{shard_of(job.id)}",
        "feed_sk": f"{started_at}#{job.id}",
        "due_pk": RUNNING if due_at else None,
        "due_sk": iso(due_at) if due_at else None,
    }


def _job_of(item: Mapping[str, Any]) -> Job:
    return Job(
        id=item["pk"].removeprefix("REPLAY#"),
        state=State(item["state"]),
        by=item.get("by"),
        reason=item.get("reason"),
        started_at=from_iso(item["started_at"]),
        expires_at=datetime.fromtimestamp(int(item["expires_at"]), UTC),
        query=item["query"],
        rate=int(item["rate"]),
        at=item.get("at"),
        replayed=int(item["replayed"]),
        skipped=int(item["skipped"]),
    )
