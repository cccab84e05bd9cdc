"""The mix: what is sent, and what goes wrong, by the seed alone.  Pure: the same seed and count give the same mix."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass, field
from typing import Any

GROUPS = {"core": ("steady", "flaky"), "rough": ("rough",)}
SOURCES = {"github": ("core", "rough"), "stripe": ("core",), "acme": ("rough",)}
SENDS_AGAIN = frozenset({"stripe"})  # what isn't answered 2xx; the others never do
LARGE_BODY_BYTES = 70_000  # above what the relay keeps in its table
FAMILIES = (
    "kill",
    "dynamodb",
    "s3",
    "qstash",
    "shapes",
    "flow",
    "callbacks",
    "deliveries",
    "keys",
    "destinations",
    "duplicates",
    "clock",
)

KILLS = ("kill:verify", "kill:save", "kill:publish", "kill:ack")
DYNAMODB = ("dynamodb:throttle", "dynamodb:throttle-once", "dynamodb:void", "dynamodb:void-once", "dynamodb:late")
FAILURES = ("error", "hang", "late", "nonretryable", "busy", "huge", "garbage", "redirect", "reset")
RECORD = ("kill:save", "kill:ack", "dynamodb:throttle", "dynamodb:void-once")
HUGE_MAX = 3  # each callback of one carries 7 MB, and QStash keeps so many bytes of history
ALWAYS = 10**6
OUTAGE_S = 1_800  # of QStash, by its own clock and the functions'
OUTAGE_MAX = 40  # so many webhooks at most come while it is away
SMALL = 200  # fewer webhooks than these make a run that shall be short
LASTING = ("answers sparse", "answers null", "callbacks sparse", "callbacks null", "bodies of DELETE ignored")
_MOMENTS = {"rotate": "keys rotated", "away": "qstash away for half an hour"}
_PUBLISH = {"method": "POST", "path": "/v2/[bp]*"}  # /v2/publish/… and /v2/batch


@dataclass(frozen=True)
class Webhook:
    """One webhook, which its source may send several times.

    Attributes:
        key: The source's own id of it.
        order: What befalls the function that takes it in, at its first request.
        copies: How often it is sent at once.
        again: Whether it is sent again once all were.
    """

    number: int
    source: str
    key: str
    nonce: str
    body: bytes = field(repr=False)
    order: str | None = None
    copies: int = 1
    again: bool = False

    @property
    def destinations(self) -> tuple[str, ...]:
        """Where it must arrive."""
        return tuple(name for group in SOURCES[self.source] for name in GROUPS[group])


@dataclass(frozen=True)
class Behaviour:
    """How a destination fails one webhook: the first *failures* requests, in the way *kind*."""

    kind: str = "error"
    failures: int = 0


@dataclass(frozen=True)
class Moment:
    """What happens once a *share* of the webhooks is sent: an action with its argument, lasting *seconds*."""

    share: float
    action: str
    argument: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Mix:
    """All of a run.

    Attributes:
        rules: For the local QStash: a name of the fault, and the rule; those that are `LASTING` hold until the end.
        settings: For it, too: what holds throughout.
        held_back: How many webhooks, the last of all, come while QStash is away.
        rates: How often a callback meets what in the function that records it.
        skew_s: How far the functions' clocks may be from the right one.
    """

    seed: int
    webhooks: tuple[Webhook, ...]
    behaviours: dict[tuple[str, str], Behaviour]
    rules: tuple[tuple[str, dict[str, Any]], ...]
    settings: dict[str, Any]
    held_back: int
    moments: tuple[Moment, ...]
    rates: dict[str, float]
    skew_s: float
    families: frozenset[str]

    def expected_strikes(self) -> frozenset[str]:
        """Return the kinds of faults that a valid run has met, each at least once."""
        kinds = {it.order for it in self.webhooks if it.order}
        kinds |= {name for name, _ in self.rules}
        kinds |= {f"record {order}" for order in self.rates}
        kinds |= {f"destination {it.kind}" for it in self.behaviours.values() if it.failures}
        kinds |= {it.argument for it in self.moments if it.action == "outage"}
        kinds |= {it.argument for it in self.moments if it.action == "order"}
        kinds |= {_MOMENTS[it.action] for it in self.moments if it.action in _MOMENTS}
        kinds |= {"clock skewed"} if self.skew_s else set()
        kinds |= {"sent at once"} if any(it.copies > 1 for it in self.webhooks) else set()
        kinds |= {"sent again"} if any(it.again for it in self.webhooks) else set()
        return frozenset(kinds)


def mix(seed: int, count: int, families: frozenset[str] = frozenset(FAMILIES)) -> Mix:
    """Return the mix of *seed*: *count* webhooks, and the faults of *families*."""
    chance = random.Random(f"{seed}/{count}")  # noqa: S311  # a seeded one is meant
    held_back = max(1, min(OUTAGE_MAX, count // 25)) if "qstash" in families else 0
    webhooks = _webhooks(seed, count, chance, families, count - held_back)
    return Mix(
        seed=seed,
        webhooks=webhooks,
        behaviours=_behaviours(webhooks, chance) if "destinations" in families else {},
        rules=_rules(seed, count, families),
        settings={"batch_refused": ("whole", "by_item")[seed % 2]} if "qstash" in families else {},
        held_back=held_back,
        moments=_moments(families),
        rates=_rates(count, families),
        skew_s=2.0 if "clock" in families else 0.0,
        families=families,
    )


def _webhooks(
    seed: int, count: int, chance: random.Random, families: frozenset[str], while_qstash_is_there: int
) -> tuple[Webhook, ...]:
    orders = (KILLS if "kill" in families else ()) + (DYNAMODB if "dynamodb" in families else ())
    each = max(3 if count >= SMALL else 1, count // 250)
    chosen = chance.sample(range(while_qstash_is_there), min(while_qstash_is_there, each * len(orders)))
    ordered = {number: orders[place % len(orders)] for place, number in enumerate(chosen)}
    made = []
    for number in range(count):
        source = chance.choices(tuple(SOURCES), (40, 35, 25))[0]
        if ordered.get(number) == "dynamodb:void-once":
            source = "github"
        copies, again = 1, False
        if "duplicates" in families:
            copies = chance.choices((1, 2, 3, 4), (94, 3, 2, 1))[0]
            again = chance.random() < 0.04
        nonce = hashlib.sha256(f"{seed}/{number}".encode()).hexdigest()[:20]
        body = _body(source, nonce, chance)
        made.append(Webhook(number, source, _key(source, nonce), nonce, body, ordered.get(number), copies, again))
    return tuple(made)


def _key(source: str, nonce: str) -> str:
    return f"evt_{nonce}" if source == "stripe" else nonce


def _body(source: str, nonce: str, chance: random.Random) -> bytes:
    size = LARGE_BODY_BYTES if chance.random() < 0.01 else int(chance.paretovariate(1.2) * 100) % 8_000
    said: dict[str, Any] = {"nonce": nonce, "action": "opened", "padding": "x" * size}
    if source == "stripe":
        said |= {"id": _key(source, nonce), "type": "invoice.paid"}
    return json.dumps(said).encode()


def _behaviours(webhooks: tuple[Webhook, ...], chance: random.Random) -> dict[tuple[str, str], Behaviour]:
    made: dict[tuple[str, str], Behaviour] = {}
    kinds: list[str] = []
    huge = 0
    for webhook in webhooks:
        for name in webhook.destinations:
            fails = {"steady": 0.01, "flaky": 0.15, "rough": 0.20}[name]
            if chance.random() >= fails:
                continue
            kinds = kinds or chance.sample(FAILURES, len(FAILURES))  # each as often as the others
            huge += kinds[-1] == "huge"
            if kinds[-1] == "huge" and huge > HUGE_MAX:
                kinds[-1] = "error"
            dies = name == "rough" and chance.random() < 0.3
            made[name, webhook.nonce] = Behaviour(kinds.pop(), ALWAYS if dies else chance.choice((1, 1, 2)))
    return made


def _rules(seed: int, count: int, families: frozenset[str]) -> tuple[tuple[str, dict[str, Any]], ...]:
    few = max(2 if count >= SMALL else 1, count // 200)
    chance = random.Random(f"{seed}/{count}/calls")  # noqa: S311  # a seeded one is meant
    call: dict[str, Any] = {"on": "call", "match": _PUBLISH, "probability": 0.5, "count": few}
    rules: list[tuple[str, dict[str, Any]]] = []
    if "qstash" in families:
        rules += [
            ("qstash 429 daily", call | {"do": "answer", "quota": "daily", "seconds": 40}),
            ("qstash 429 burst", call | {"do": "answer", "quota": "burst", "seconds": 1}),
            ("qstash 500", call | {"do": "answer", "status": 500}),
            ("qstash 503", call | {"do": "answer", "status": 503}),
            ("qstash void", call | {"do": "void"}),
            ("qstash drop", call | {"do": "drop"}),
            ("qstash hang", call | {"do": "hang", "seconds": 4, "count": min(few, 3)}),
            ("qstash down", call | {"do": "down", "seconds": 1, "count": min(few, 2)}),
            ("qstash refuses an item of a batch", call | {"on": "item", "do": "answer", "status": 400, "match": {}}),
        ]
    for _, rule in rules:  # some time in the first half: the first of them that strikes a call is the one
        rule["after"] = chance.randrange(max(1, count // 2))
    share = {"probability": 0.02 if count >= 1000 else 0.05}
    for on in ("callback", "delivery"):
        if {"callback": "callbacks", "delivery": "deliveries"}[on] in families:
            rules += [
                (f"{on} lost", {"on": on, "do": "lose", **share}),
                (f"{on} doubled", {"on": on, "do": "duplicate", "seconds": 0.2, **share}),
                (f"{on} reordered", {"on": on, "do": "reorder", "seconds": 2, **share}),
                (f"{on} delayed", {"on": on, "do": "delay", "seconds": 20, **share}),
                (f"{on} from elsewhere", {"on": on, "do": "elsewhere", "probability": 0.2}),
            ]
    if "flow" in families:
        rules += [("flow-control key slow", {"on": "turn", "do": "delay", "seconds": 3, "count": few, **share})]
    if "shapes" in families:
        read = {"method": "GET", "path": "/v2/*"}
        for do in ("sparse", "null"):
            rules += [
                (f"answers {do}", {"on": "call", "do": do, "match": read, "probability": 0.4}),
                (f"callbacks {do}", {"on": "callback", "do": do, "probability": 0.2}),
            ]
        deletes = {"method": "DELETE", "path": "/v2/dlq*"}
        rules += [("bodies of DELETE ignored", {"on": "call", "do": "bodiless", "match": deletes})]
    return tuple((name, {**rule, "seed": seed * 1000 + place}) for place, (name, rule) in enumerate(rules))


def _moments(families: frozenset[str]) -> tuple[Moment, ...]:
    moments: list[Moment] = []
    if "dynamodb" in families:
        moments += [
            Moment(0.10, "outage", "dynamodb:throttle", 0.7),
            Moment(0.20, "outage", "dynamodb:down", 1.0),
            Moment(0.30, "outage", "dynamodb:slow", 1.0),
            Moment(0.38, "outage", "dynamodb:void", 0.5),
        ]
    if "s3" in families:
        moments += [Moment(0.47, "outage", "s3:down", 0.8)]
    if "kill" in families:
        moments += [Moment(1, "order", f"sweep kill:{step}") for step in ("publish", "save", "publish")]
    if "qstash" in families:
        moments += [Moment(1, "away", seconds=OUTAGE_S)]
    if "keys" in families:
        moments += [Moment(0.60, "rotate"), Moment(0.63, "rotate")]
    return tuple(sorted(moments, key=lambda it: it.share))


def _rates(count: int, families: frozenset[str]) -> dict[str, float]:
    """Return the rates by order: every webhook's callbacks draw once."""
    rate = min(0.2, max(0.006, 10 / count))
    return {order: rate for order in RECORD if order.partition(":")[0] in families}
