"""The verb of audit: balances the ledger, repairs forgotten deliveries, and records QStash's dead letters.

A callback can die, too.  QStash then keeps the callback as a dead letter, and the audit reads the report from there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from relay.errors import AnswerTooLong, BadRequest, Defect, OutOfTime, QStashError, SignatureError, UpstreamError
from relay.ledger.balance import Balance, Finding, balance, forgotten
from relay.ledger.record import settle
from relay.model.delivery import DEAD, OPEN, Attempt, Delivery, Report, Status
from relay.model.ids import Generation, from_iso, iso
from relay.replay.pauses import release_strays
from relay.runtime.deadline import regardless, seconds_left, within
from relay.runtime.parallel import supervised
from relay.storage.leases import AUDIT
from relay.urls import CallbackAddress, callback_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from relay.publishing.publisher import Publisher
    from relay.qstash.client import DeadLetter
    from relay.storage.store import Store

Item = TypeVar("Item")

GRACE = timedelta(minutes=5)  # newer events are still on their way
OVERLAP = timedelta(hours=1)  # is balanced twice: the index lags, and some records are written late
FIRST = timedelta(days=1)  # the first audit looks back so far
LETTERS_WORDS = ("dead_letters_until", "dead_letters_cursor")
DEAD_LETTERS_SHARE = 0.4  # of a run, at most, for QStash's dead letters
REPAIR_SHARE = 0.35  # at least, for the repairs
COUNT_SHARE = 0.15  # at least, for the count of unaccounted deliveries
PAGE_S = 2.0  # the audit begins no page with less time left
UNACCOUNTED_MAX = 1000  # are counted of a shard, at most; one is an alarm anyway


@dataclass
class Audited:
    """What an audit did.

    Attributes:
        balanced: How many expected deliveries were balanced.
        repaired: Open deliveries that nobody was to turn to; now the sweep is.
        released: Replays that release deliveries held for a destination that isn't paused.
        settled: Dead letters of QStash that changed a delivery.
        unaccounted: How many deliveries are unaccounted, whenever their events came.
        complete: Whether the time sufficed for all.
        skipped: Whether another audit was running.
        findings: The unaccounted deliveries that this audit found.
        defects: The failures of our own code, each at one item.
    """

    balanced: int = 0
    repaired: int = 0
    released: int = 0
    settled: int = 0
    unaccounted: int = 0
    complete: bool = True
    skipped: bool = False
    findings: list[Finding] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)

    def each(self, work: Callable[[Item], bool], items: Iterable[Item]) -> list[Item]:
        """Do *work* on each of *items*; return those for which it is true.  A defect at one is noted in `defects`.

        Raises:
            UpstreamError: QStash or the table didn't answer.
        """
        done = []
        for thing in items:
            outcome = supervised(work, thing)
            if isinstance(outcome, Defect):
                self.defects.append(str(outcome))
            elif isinstance(outcome, UpstreamError):
                raise outcome
            elif outcome:
                done.append(thing)
        return done


def audit(publisher: Publisher, *, owner: str, seconds_left: Callable[[], float]) -> Audited:
    """Balance the events since the last audit, and repair their deliveries; do nothing while another audit runs.

    If the time runs out, the next run goes on at the same place.

    Raises:
        UpstreamError: QStash or the table didn't answer; the next run repeats the audit.
    """
    store, done, whole_s = publisher.store, Audited(), seconds_left()

    def all_but(share: float) -> float:
        return seconds_left() - whole_s * share

    with within(seconds_left), store.lease(AUDIT, owner) as is_free:
        if not is_free:
            done.skipped = True
            return done
        last = store.state.last_audit()
        said = dict(last)
        try:
            with within(partial(all_but, 1 - DEAD_LETTERS_SHARE)):
                letters = _settle_dead_letters(publisher, last, done)
            said = {name: word for name, word in last.items() if name not in LETTERS_WORDS} | letters
            with within(partial(all_but, COUNT_SHARE)):
                _balance(store, last, done, said, partial(all_but, REPAIR_SHARE))
        except OutOfTime:
            done.complete = False
        finally:
            if said != last:
                with regardless():
                    store.state.save_audit(said)
        done.unaccounted = store.listings.count(Status.UNACCOUNTED, most=UNACCOUNTED_MAX)
    return done


def _balance(
    store: Store, last: dict[str, Any], done: Audited, said: dict[str, Any], seconds_left: Callable[[], float]
) -> None:
    """Balance, repair, and release deliveries that no pause holds; write the progress into *said* step by step.

    Args:
        last: The words of the last audit.
        said: The words for the next audit.
        seconds_left: How long the balance may take, without the repairs.
    """
    window = _window(last, store.now())
    found = balance(
        store,
        since=window["since"],
        until=window["until"],
        positions=window.get("positions"),
        seconds_left=seconds_left,
    )
    _add(store, found, done)
    left = None if found.complete else {**window, "positions": found.positions}
    said |= {"until": window["until"], "left": left}
    done.each(partial(_mend, store, done), forgotten(store))
    released, said["held_after"] = release_strays(store, last.get("held_after"))
    done.released = len(released)


def _window(last: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Return the time to balance: the rest that the last audit left, else the time since then."""
    if last.get("left"):
        return dict(last["left"])
    since = from_iso(last["until"]) - OVERLAP if last.get("until") else now - FIRST
    return {"since": iso(since), "until": iso(now - GRACE)}


def _add(store: Store, found: Balance, done: Audited) -> None:
    done.balanced = sum(it.total() for it in found.by_destination.values())
    done.complete = found.complete
    done.each(partial(_mend, store, done), (it for it in found.findings if it.mendable))
    done.findings += [it for it in found.findings if not it.mendable]


def _mend(store: Store, done: Audited, finding: Finding) -> bool:
    """Make a delivery that nobody was to turn to due for the sweep, which asks QStash's log before it publishes."""
    event = store.event(finding.event)
    if event is None:
        return False
    now = store.now()
    before, after = store.change_delivery(event, finding.destination, lambda it: it.owed(it.generation, now))
    done.repaired += before.due_at != after.due_at
    return True


# -- QStash's dead letters --------------------------------------------------------------------------------------------


def _settle_dead_letters(publisher: Publisher, last: dict[str, Any], done: Audited) -> dict[str, str]:
    """Record QStash's dead letters since the last audit; delete those that nobody needs there any more.

    Returns:
        Words for the next audit: the time up to which all are read, or the cursor to go on with.
    """
    began = iso(publisher.store.now())
    said = {name: last[name] for name in LETTERS_WORDS if last.get(name)}
    while seconds_left() >= PAGE_S:
        try:
            page, cursor = _dead_letters(publisher, said)
            needless = done.each(lambda it: _settled(publisher, it, done), page)
            for letter in needless:
                publisher.qstash.delete_dead_letter(letter.id)
        except OutOfTime:  # the next run reads the page again
            return said
        except AnswerTooLong as error:  # one letter alone: the ledger is balanced all the same
            done.defects.append(f"a dead letter can't be read: {error}")
            return said
        except QStashError:
            if seconds_left() >= PAGE_S:
                raise
            return said  # its last call was cut short
        if cursor is None:
            return {"dead_letters_until": began}
        said["dead_letters_cursor"] = cursor
    return said


def _dead_letters(publisher: Publisher, said: dict[str, str]) -> tuple[list[DeadLetter], str | None]:
    """Return the next page of dead letters and its cursor; the first page if QStash has forgotten the cursor."""
    until, cursor = said.get("dead_letters_until"), said.get("dead_letters_cursor")
    since = from_iso(until) - OVERLAP if until else None
    try:
        return publisher.qstash.dead_letters(since=since, cursor=cursor)
    except QStashError as error:
        if cursor is None or not error.refused:
            raise
        return publisher.qstash.dead_letters(since=since)


def _settled(publisher: Publisher, letter: DeadLetter, done: Audited) -> bool:
    """Record one dead letter; return whether QStash may delete the letter."""
    if (path := callback_path(letter.url, publisher.settings.base_urls)) is not None:
        return _callback_settled(publisher, path, letter, done)
    path = callback_path(letter.failure_callback or "", publisher.settings.base_urls)
    return path is not None and _delivery_settled(publisher, path, letter, done)  # else another deployment's


def _callback_settled(publisher: Publisher, path: str, letter: DeadLetter, done: Audited) -> bool:
    """Record the report of a callback that died."""
    try:
        settled = settle(
            path, letter.body, mac_key=publisher.mac_key, settings=publisher.settings, store=publisher.store
        )
    except (SignatureError, BadRequest):  # this relay didn't make it, or it is no callback
        return False
    done.settled += settled.became is not None
    return True


def _delivery_settled(publisher: Publisher, path: str, letter: DeadLetter, done: Audited) -> bool:
    """Record that a delivery died; return whether a newer generation has replaced it."""
    store = publisher.store
    try:
        address = CallbackAddress.of(path, publisher.mac_key)
    except SignatureError:
        return False
    event = store.event(address.event)
    name = address.destination(letter.endpoint, publisher.settings.destination_at(letter.url))
    if event is None or name is None or name not in event.expected:
        return False
    delivery = store.delivery(event, name)
    if delivery.generation != address.generation:
        return True
    if delivery.status in OPEN | {Status.UNACCOUNTED} or (delivery.status in DEAD and delivery.dlq_id is None):
        report = Report(_last_attempt(delivery, letter, address.generation, store.now()), dead=True, dlq_id=letter.id)
        before, after = store.change_delivery(event, name, lambda d: d.after(report))
        done.settled += before.status != after.status
    return False


def _last_attempt(delivery: Delivery, letter: DeadLetter, generation: Generation, now: datetime) -> Attempt:
    known = [attempt for attempt in delivery.attempts.values() if attempt.message_id == letter.message_id]
    if known:
        return max(known, key=lambda attempt: attempt.number)
    return Attempt(now, letter.attempts, letter.message_id, generation, succeeded=False, status_code=letter.status)
