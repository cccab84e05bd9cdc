"""Everything that can happen to a relay, as rules of a state machine; what must be true in the end is the ledger's.

What the relay can't bear yet is `KNOWN`, with the reason; the rules leave it out, unless MODEL_ALL is set.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from relay.model import TERMINAL
from tests.memory_aws import Fault
from tests.model.destinations import Behaviour
from tests.model.ledger import violations
from tests.model.world import NAMES, URLS, World

if TYPE_CHECKING:
    from collections.abc import Callable

DAY_S = 86_400.0
LOGS_S = 2.9 * DAY_S  # QStash's logs reach back a little longer
KNOWN = {
    "dead callbacks": "a callback that was refused until its retries were spent leaves its delivery in flight",
    "lost callbacks": "a callback that QStash loses leaves its delivery in flight",
    "lost deliveries": "a message that QStash loses leaves its delivery in flight",
    "long outages": "what waits for longer than QStash's logs reach back stays due for ever",
}
UNBORNE = frozenset() if os.environ.get("MODEL_ALL") else frozenset(KNOWN)

SOURCES = st.sampled_from(sorted(NAMES))
KEYS = st.sampled_from(["1", "2", "3"])
BODIES = st.sampled_from([b"{}", b"{}", b'{"other":1}'])
MEANWHILE = ("sweep", "webhook", "a second", "a minute")
MISHAPS = st.one_of(
    st.none(),
    st.tuples(st.sampled_from([*sorted(Fault), *MEANWHILE]), st.integers(0, 24)),
)
"""What goes wrong with a call of a verb, or happens before it, and which call it is."""

SPANS_S = [1.0, 15.0, 61.0, 200.0, 660.0, 3_600.0, 25_000.0, DAY_S, 4 * DAY_S]
HINDRANCES: list[dict[str, Any]] = [
    *({"on": "call", "do": it, "match": {"path": "/v2/publish*"}, "seconds": 30.0} for it in ("hang", "drop", "void")),
    *({"on": "call", "do": it, "match": {"path": "/v2/logs*"}, "seconds": 30.0} for it in ("hang", "drop")),
    *({"on": "call", "do": "answer", "match": {"path": "/v2/publish*"}, "status": it} for it in (429, 500, 401, 404)),
    {"on": "call", "do": "answer", "match": {"path": "/v2/logs*"}, "status": 429},
    {"on": "call", "do": "answer", "match": {"path": "/v2/keys"}, "status": 503},
    {"on": "call", "do": "down", "seconds": 20.0},
    {"on": "call", "do": "down", "seconds": 7_200.0},
    {"on": "delivery", "do": "duplicate"},
    {"on": "callback", "do": "duplicate", "seconds": 900.0},
    *({"on": on, "do": do, "seconds": 900.0} for on in ("delivery", "callback") for do in ("delay", "reorder")),
    *([] if "lost callbacks" in UNBORNE else [{"on": "callback", "do": "lose"}]),
    *([] if "lost deliveries" in UNBORNE else [{"on": "delivery", "do": "lose"}]),
]


class Protocol(RuleBasedStateMachine):
    """A relay with two sources, two URL groups and three destinations."""

    def __init__(self) -> None:
        super().__init__()
        self.world: World | None = None

    @property
    def it(self) -> World:
        assert self.world is not None
        return self.world

    @initialize(
        seed=st.integers(0, 1000),
        window_s=st.sampled_from([600.0, 90 * DAY_S]),
        scope=st.sampled_from(["account", "destination"]),
        lag=st.booleans(),
        log_lag_s=st.sampled_from([0.0, 60.0]),
        latency_s=st.sampled_from([0.0, 0.2, 3.0]),
    )
    def begin(self, **given: Any) -> None:
        """Choose what no test can choose on the real ones."""
        self.world = World(**given)

    # -- what the relay does ------------------------------------------------------------------------------------------

    def _verb(self, do: Callable[[], object], mishap: tuple[str, int] | None) -> None:
        """Do it, and let *mishap* befall it, unless it is over before that."""
        if mishap is not None:
            what, after = mishap
            self.it.calls.arm(Fault(what) if what not in MEANWHILE else self._between(what), after)
        do()
        self.it.calls.disarm()

    def _between(self, what: str) -> Callable[[], None]:
        happens: dict[str, Callable[[], object]] = {
            "sweep": self.it.sweep,
            "webhook": lambda: self.it.webhook("github", "1"),
            "a second": lambda: self.it.wait(seconds=1),
            "a minute": lambda: self.it.wait(seconds=70),
        }

        def when_it_can() -> None:
            if self.it.bridge.busy:  # a callback's call, within a call of QStash: at the next, then
                self.it.calls.arm(when_it_can)
            else:
                happens[what]()

        return when_it_can

    @rule(source=SOURCES, key=KEYS, body=BODIES, mishap=MISHAPS)
    def send(self, source: str, key: str, body: bytes, mishap: tuple[str, int] | None) -> None:
        """Send a webhook: a new one, one that came before, or other bytes under its id."""
        self._verb(lambda: self.it.webhook(source, key, body), mishap)

    @rule(mishap=MISHAPS)
    def sweep(self, mishap: tuple[str, int] | None) -> None:
        """Run the sweep."""
        self._verb(self.it.sweep, mishap)

    @rule(number=st.integers(0, 20), mishap=MISHAPS)
    def replay(self, number: int, mishap: tuple[str, int] | None) -> None:
        """Have a person deliver something again that is over."""
        over = self.it.deliveries(TERMINAL)
        if over:
            event, destination = over[number % len(over)]
            self._verb(lambda: self.it.replay(event, destination), mishap)

    @rule(seconds=st.sampled_from(SPANS_S), mishap=MISHAPS)
    def wait(self, seconds: float, mishap: tuple[str, int] | None) -> None:
        """Let time pass, and what QStash sends come in.  No sweep runs meanwhile: it may be out, too."""
        if "long outages" in UNBORNE and self.it.due_since_s() + LOGS_S < self.it.clock.now() + seconds:
            return
        self._verb(lambda: self.it.wait(seconds=seconds), mishap if mishap and mishap[0] not in MEANWHILE else None)

    # -- what others do -----------------------------------------------------------------------------------------------

    @rule(destination=st.sampled_from(sorted(URLS)), behaviour=st.sampled_from(sorted(Behaviour)))
    def behave(self, destination: str, behaviour: Behaviour) -> None:
        """Have a destination do something else from now on."""
        self.it.destinations.behaviour[destination] = behaviour

    @rule(hindrance=st.sampled_from(HINDRANCES), count=st.integers(1, 3))
    def hinder(self, hindrance: dict[str, Any], count: int) -> None:
        """Have QStash be slow, away, or odd."""
        self.it.fault(**hindrance, count=count)

    @rule()
    def roll_keys(self) -> None:
        """Have somebody roll QStash's signing keys."""
        known = self.it.store.keys()
        if "dead callbacks" not in UNBORNE or self.it.account.current_key == known["current"]:
            self.it.account.rotate()  # twice between two sweeps, and the relay knows neither key

    # -- the end ------------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Take every hindrance away, let time pass, and look what became of all."""
        if self.world is None:
            return
        try:
            self.it.become_quiet()
            assert violations(self.it) == []
        finally:
            self.it.close()
