"""The hand that strikes: orders to the functions, rules to the local QStash, and the time of both.

The functions are reached through a folder that `inside/sitecustomize.py` reads; QStash through its admin API.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests.chaos.inside.sitecustomize import CLOCK

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from infra.local.dev import LocalRelay
    from tests.chaos.mix import Mix

INSIDE = Path(__file__).parent / "inside"
STEP_S = 240  # what QStash signs is good for five minutes, so the clocks never differ by more


class Orders:
    """What the functions of one run are told, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("orders", "markers"):
            (folder / name).mkdir()
        self._told: dict[str, Any] = {}
        self._number = 0
        self.set_clock(0, 0)

    def variables(self) -> dict[str, str]:
        """Return the environment that puts the functions under these orders."""
        return {"CHAOS_FOLDER": str(self.folder), "PYTHONPATH": str(INSIDE)}

    def set_clock(self, offset_s: float, skew_s: float) -> None:
        """Put the functions' clocks ahead by *offset_s*, each with a skew of up to *skew_s*."""
        path = self.folder / "clock"
        with path.open("r+b" if path.exists() else "wb") as file:  # in place: it is mapped into every function
            file.write(CLOCK.pack(offset_s, skew_s))

    def tell(self, **said: Any) -> None:
        """Tell all functions something; see `sitecustomize.Chaos.told`."""
        self._told |= said
        new = self.folder / "told.new"
        new.write_text(json.dumps(self._told), encoding="utf-8")
        new.replace(self.folder / "told.json")

    def order(self, text: str) -> None:
        """Leave an order for the next invocation of a function: `sweep kill:publish`."""
        function, _, order = text.partition(" ")
        self._number += 1
        (self.folder / "orders" / f"{function}.{self._number}").write_text(order, encoding="utf-8")

    def struck(self) -> Counter[str]:
        """Return how often each order struck, by `kill:save` for ingest and `record kill:save` for others."""
        log = self.folder / "struck"
        counted: Counter[str] = Counter()
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        for line in lines:
            function, _, order = line.partition(" ")
            counted[order if function == "ingest" or order == "clock skewed" else line] += 1
        return counted


class QStashAdmin:
    """The admin API of the local QStash."""

    def __init__(self, local: LocalRelay) -> None:
        self._names: dict[str, str] = {}
        self._http = httpx.Client(
            base_url=local.qstash_url,
            headers={"Authorization": f"Bearer {local.qstash_admin_token}"},
            timeout=60,
            trust_env=False,
        )

    def close(self) -> None:
        """Close what is open."""
        self._http.close()

    def _call(self, method: str, path: str, said: object = None) -> dict[str, Any]:
        answer = self._http.request(method, f"/admin/{path}", content=json.dumps(said) if said is not None else None)
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    def add(self, rules: Mapping[str, dict[str, Any]]) -> None:
        """Add rules by name."""
        for name, rule in rules.items():
            self._names[self._call("POST", "rules", rule)["ids"][0]] = name

    def struck(self) -> Counter[str]:
        """Return how often each rule struck, by its name."""
        counted: Counter[str] = Counter()
        for rule in self._call("GET", "rules")["rules"]:
            counted[self._names[rule["id"]]] += rule["hits"]
        return counted

    def set(self, settings: Mapping[str, Any]) -> None:
        """Change what holds for all."""
        self._call("PATCH", "settings", settings)

    def end(self, but: Collection[str] = ()) -> Counter[str]:
        """Drop all rules *but* those of some names, and return how often each of the dropped struck."""
        counted = self.struck()
        for number in [number for number, name in self._names.items() if name not in but]:
            self._call("DELETE", f"rules/{number}")
            del self._names[number]
        self._call("POST", "up")
        return Counter({name: hits for name, hits in counted.items() if name not in but})

    def go_down(self, seconds: float) -> None:
        """Be away for so long, by its own clock."""
        self._call("POST", "down", {"seconds": seconds})

    def limit_parallelism(self, places: int) -> None:
        """Have so many attempts at a time: each takes a function, and each function that is new takes its start."""
        self._call("POST", "parallelism", {"places": places})

    def advance(self, seconds: float) -> dict[str, Any]:
        """Put QStash's clock forward; return its status."""
        return self._call("POST", "clock", {"advance_s": seconds})

    def status(self) -> dict[str, Any]:
        """Return how many messages wait and how many attempts are under way."""
        return self._call("GET", "status")


class Time:
    """The time of the functions and of QStash, moved together."""

    def __init__(self, orders: Orders, qstash: QStashAdmin, skew_s: float) -> None:
        self._orders, self._qstash, self._skew_s = orders, qstash, skew_s
        self._ahead_s = 0.0
        self._moving = threading.Lock()
        orders.set_clock(0, skew_s)

    def now(self) -> float:
        """Return epoch seconds."""
        return time.time() + self._ahead_s

    def advance(self, seconds: float) -> None:
        """Put all clocks forward, the functions' first: a signature of the future is refused, one of 4 min isn't."""
        left = seconds
        with self._moving:
            while left > 0:
                step = self._step_s(left)
                self._ahead_s += step
                self._orders.set_clock(self._ahead_s, self._skew_s)
                self._qstash.advance(step)
                left -= step

    def _step_s(self, left_s: float) -> float:
        """Return how far the clocks may differ: any time, where nothing waits that will be signed."""
        return left_s if not self._qstash.status()["messages"] else min(left_s, STEP_S)


@contextmanager
def outage(orders: Orders, what: str) -> Iterator[None]:
    """Have a service fail for all functions within: `dynamodb:down`; without S3 there is no table either."""
    service, _, how = what.partition(":")
    orders.tell(outage={service: how, **({"dynamodb": how} if service == "s3" else {})})
    try:
        yield
    finally:
        orders.tell(outage={})


def rules_of(mix: Mix) -> dict[str, dict[str, Any]]:
    """Return the rules of *mix* by name."""
    return dict(mix.rules)
