"""The ledger and its judge: what was sent, what arrived, and whether the relay's own records agree.  Pure.

An entry is a webhook at a destination where it must arrive.  It counts once: as delivered, dead-lettered, held, lost or
unaccounted.  What arrives more than once needs a cause for each time after the first; without one it is an unexplained
double.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.chaos.destinations import Arrival

HELD = frozenset({"unpublishable", "held", "cancelled", "removed"})
BY_QSTASH = "QStash delivered one attempt twice"
BY_UNSEEN = "an attempt whose answer QStash didn't see"
BY_REPLAY = "a replay"
UNEXPLAINED = "UNEXPLAINED"


@dataclass(frozen=True)
class Sent:
    """One webhook, as its sender counts it.

    Attributes:
        sha256: Of the body.
        answers: Status of each request; None where none came.
    """

    nonce: str
    source: str
    sha256: str
    destinations: tuple[str, ...]
    answers: tuple[int | None, ...]

    @property
    def accepted(self) -> bool:
        """Tell whether the relay said that it has it."""
        return any(it is not None and 200 <= it < 300 for it in self.answers)


@dataclass(frozen=True)
class Replay:
    """A replay that the relay said it started, and when, on the destinations' clock."""

    nonce: str
    destination: str
    at: float


@dataclass
class Ledger:
    """What came of a run; *findings* tell of each entry that is wrong, *doubled* counts by cause."""

    sent: int = 0
    accepted: int = 0
    refused: int = 0
    expected: int = 0
    delivered: int = 0
    dead_lettered: int = 0
    held: int = 0
    lost: int = 0
    unaccounted: int = 0
    doubled: Counter[str] = field(default_factory=Counter)
    replayed: int = 0
    findings: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Tell whether the promise held."""
        return not (self.lost or self.unaccounted or self.doubled[UNEXPLAINED])

    def lines(self) -> list[str]:
        """Return the ledger, one line a figure."""
        causes = "; ".join(f"{cause}: {number}" for cause, number in sorted(self.doubled.items()) if number)
        return [
            f"sent: {self.sent}",
            f"accepted: {self.accepted}",
            f"refused: {self.refused}",
            f"expected deliveries: {self.expected}",
            f"delivered: {self.delivered}",
            f"dead-lettered: {self.dead_lettered}",
            f"held: {self.held}",
            f"replayed: {self.replayed}",
            f"lost: {self.lost}",
            f"doubled: {sum(self.doubled.values())}" + (f" ({causes})" if causes else ""),
            f"unaccounted: {self.unaccounted}",
        ]


def judge(
    sent: Sequence[Sent],
    arrivals: Iterable[Arrival],
    said: Mapping[tuple[str, str], str],
    replays: Sequence[Replay] = (),
) -> Ledger:
    """Return the ledger.

    Args:
        arrivals: Every request to a destination, in any order.
        said: What the relay says of each delivery: (nonce, destination) -> status.
        replays: Those that were started; each must have arrived, once.
    """
    ledger = Ledger(replayed=len(replays))
    came: defaultdict[tuple[str, str], list[Arrival]] = defaultdict(list)
    for arrival in sorted(arrivals, key=lambda it: it.at):
        came[arrival.nonce, arrival.destination].append(arrival)
    replayed: defaultdict[tuple[str, str], list[Replay]] = defaultdict(list)
    for replay in replays:
        replayed[replay.nonce, replay.destination].append(replay)
    known = set()
    for webhook in sent:
        _count(ledger, webhook)
        for destination in webhook.destinations:
            entry = (webhook.nonce, destination)
            known.add(entry)
            _enter(ledger, webhook, destination, came.get(entry, []), said.get(entry))
            _double(ledger, entry, came.get(entry, []), replayed.get(entry, []))
    for nonce, destination in sorted({*came, *said} - known):
        _wrong(ledger, "unaccounted", nonce, destination, "was never sent there")
    return ledger


def compare(ledger: Ledger, said: Mapping[tuple[str, str], str], audited: Mapping[str, int]) -> None:
    """Enter where the relay's own balance, by status, isn't what its records say one by one."""
    right = Counter(said.values()) + Counter(expected=len(said))
    for name in sorted({*right, *audited}):
        if right[name] != audited.get(name, 0):
            _wrong(ledger, "unaccounted", name, "audit", f"its balance has {audited.get(name, 0)}, not {right[name]}")


def foreign(ledger: Ledger, dead_letters: Iterable[Mapping[str, Any]], label: str) -> None:
    """Enter as lost that no one of QStash's *dead_letters* has the *label* of somebody else, whose one was there."""
    if not any(label in (it.get("labels") or ()) for it in dead_letters):
        _wrong(ledger, "lost", label, "QStash", "a dead letter of somebody else is gone")


def _count(ledger: Ledger, webhook: Sent) -> None:
    ledger.sent += 1
    ledger.accepted += webhook.accepted
    ledger.refused += not webhook.accepted


def _enter(ledger: Ledger, webhook: Sent, destination: str, came: list[Arrival], status: str | None) -> None:
    """Enter one webhook at one destination: the verdict is from outside, and the relay must agree."""
    taken = [it for it in came if it.taken]
    if not webhook.accepted and status is None and not taken:
        return  # refused, and nothing came of it: as its source was told
    ledger.expected += 1
    about = (webhook.nonce, destination)
    if any(it.sha256 != webhook.sha256 for it in came):
        _wrong(ledger, "unaccounted", *about, "other bytes arrived than were sent")
    elif status == "delivered" and taken:
        ledger.delivered += 1
    elif status == "dead_lettered" and not any(_heeded(it, came) for it in taken):
        ledger.dead_lettered += 1
    elif status in HELD and not taken:
        ledger.held += 1
    elif taken:
        _wrong(ledger, "unaccounted", *about, f"arrived, and the relay says {status or 'nothing'}")
    elif status in (None, "delivered"):
        _wrong(ledger, "lost", *about, f"didn't arrive, and the relay says {status or 'nothing'} ({webhook.source})")
    else:
        _wrong(ledger, "unaccounted", *about, f"didn't arrive, and the relay says {status} ({len(came)} tries)")


def _double(ledger: Ledger, entry: tuple[str, str], came: list[Arrival], replays: list[Replay]) -> None:
    """Give each arrival after the first its cause, and each replay its message."""
    by_replay = _messages_of(replays, came)
    if len(by_replay) < len(replays):
        _wrong(ledger, "lost", *entry, "a replay that was started never came")
    taken = [it for it in came if it.taken]
    for place, arrival in enumerate(taken[1:], start=1):
        cause = _cause(arrival, taken[:place], by_replay, came)
        ledger.doubled[cause] += 1
        if cause == UNEXPLAINED:
            tries = ", ".join(f"{one.message_id[-6:]}.{one.retried}{'' if one.seen else ' unseen'}" for one in taken)
            _tell(ledger, f"double: {entry[0]} at {entry[1]}: {tries}")


def _messages_of(replays: list[Replay], came: list[Arrival]) -> set[str]:
    """Return the messages that *replays* brought: of each the first new one that came after it began."""
    found: set[str] = set()
    first = {it.message_id: it.at for it in reversed(came)}
    for replay in sorted(replays, key=lambda it: it.at):
        after = [name for name, at in sorted(first.items(), key=lambda it: it[1]) if at >= replay.at]
        found |= set([it for it in after if it not in found][:1])
    return found


def _cause(arrival: Arrival, earlier: list[Arrival], by_replay: set[str], came: list[Arrival]) -> str:
    """Return why *arrival* came though the *earlier* ones had."""
    same = [one for one in earlier if one.message_id == arrival.message_id]
    if any(one.retried == arrival.retried for one in same):
        return BY_QSTASH
    if same and (not arrival.seen or not any(_heeded(one, came) for one in same)):
        return BY_UNSEEN
    if not same and arrival.message_id in by_replay:
        return BY_REPLAY
    if not same and not any(_heeded(one, came) for one in earlier):  # so it was a dead letter, and sent anew
        return BY_UNSEEN
    return UNEXPLAINED


def _heeded(arrival: Arrival, came: list[Arrival]) -> bool:
    """Tell whether QStash acted on the answer: QStash saw the answer, and this was its first request of the attempt."""
    first = next(one for one in came if (one.message_id, one.retried) == (arrival.message_id, arrival.retried))
    return arrival.seen and first is arrival


def _wrong(ledger: Ledger, kind: str, nonce: str, destination: str, why: str) -> None:
    setattr(ledger, kind, getattr(ledger, kind) + 1)
    _tell(ledger, f"{kind}: {nonce} at {destination}: {why}")


def _tell(ledger: Ledger, finding: str) -> None:
    ledger.findings.append(finding)
