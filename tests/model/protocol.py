"""Everything that can happen to a relay, as rules of a state machine; what must be true in the end is the ledger's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from relay.replay.deliveries import REPLAYABLE
from tests.memory_aws import Fault
from tests.model.configuration import CHANGES, NAMES, Layout
from tests.model.configuration import SOURCES as CONFIGURED
from tests.model.destinations import Behaviour
from tests.model.ledger import violations
from tests.model.world import FUNCTIONS, World

if TYPE_CHECKING:
    from collections.abc import Callable

DAY_S = 86_400.0
SOURCES = st.sampled_from(CONFIGURED)
KEYS = st.sampled_from(["1", "2", "3"])
POISON = b'{"wait_s":1%s}' % (b"0" * 308)  # a delay that no time can be reckoned with
BODIES = st.sampled_from([b"{}", b"{}", b'{"other":1}', POISON])
TYPES = st.sampled_from(["push", "push", " push\r\n", "\ud800", "\0", "\u0645\u0631\u062d\u0628\u0627", "x" * 999, ""])
MEANWHILE = ("sweep", "audit", "webhook", "a second", "a minute")
MISHAPS = st.one_of(
    st.none(),
    st.tuples(st.sampled_from([*sorted(Fault), *MEANWHILE]), st.one_of(st.integers(0, 4), st.integers(0, 24))),
)
"""What goes wrong with a call of a verb, or happens before it, and which call it is."""

SPANS_S = [1.0, 15.0, 61.0, 200.0, 660.0, 3_600.0, 25_000.0, DAY_S, 4 * DAY_S]
PUBLISHES, LOGS, MESSAGES, DEAD_LETTERS = "/v2/[bp][au][bt]*", "/v2/logs*", "/v2/messages*", "/v2/dlq*"
HINDRANCES: list[dict[str, Any]] = [
    *({"on": "call", "do": it, "match": {"path": PUBLISHES}, "seconds": 30.0} for it in ("hang", "drop", "void")),
    *({"on": "call", "do": "drop", "match": {"path": it}} for it in (LOGS, MESSAGES, DEAD_LETTERS)),
    *({"on": "call", "do": "answer", "match": {"path": PUBLISHES}, "status": it} for it in (429, 500, 400, 401, 404)),
    {"on": "call", "do": "answer", "match": {"path": PUBLISHES}, "status": 429, "quota": "daily", "seconds": 4_000.0},
    {"on": "call", "do": "answer", "match": {"path": LOGS}, "status": 429},
    {"on": "call", "do": "answer", "match": {"path": "/v2/keys"}, "status": 503},
    *({"on": "call", "do": "down", "seconds": it} for it in (20.0, 1_800.0, 7_200.0)),
    *({"on": "call", "do": it, "match": {"method": "GET", "path": "/v2/*"}} for it in ("sparse", "null")),
    *({"on": "callback", "do": it} for it in ("sparse", "null")),
    *({"on": "item", "do": "answer", "status": it} for it in (400, 503)),
    {"on": "call", "do": "bodiless", "match": {"method": "DELETE", "path": DEAD_LETTERS}},
    {"on": "delivery", "do": "duplicate"},
    {"on": "callback", "do": "duplicate", "seconds": 900.0},
    *({"on": on, "do": do, "seconds": 900.0} for on in ("delivery", "callback") for do in ("delay", "reorder")),
    *({"on": on, "do": "lose"} for on in ("delivery", "callback")),
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
            "audit": self.it.audit,
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

    @rule(source=SOURCES, key=KEYS, body=BODIES, event_type=TYPES, mishap=MISHAPS)
    def send(self, source: str, key: str, body: bytes, event_type: str, mishap: tuple[str, int] | None) -> None:
        """Send a webhook: a new one, one that came before, or other bytes under its id; poison, or with any text."""
        self._verb(lambda: self.it.webhook(source, key, body, event_type), mishap)

    @rule(mishap=MISHAPS)
    def sweep(self, mishap: tuple[str, int] | None) -> None:
        """Run the sweep."""
        self._verb(self.it.sweep, mishap)

    @rule(mishap=MISHAPS)
    def audit(self, mishap: tuple[str, int] | None) -> None:
        """Run the audit."""
        self._verb(self.it.audit, mishap)

    @rule(number=st.integers(0, 20), mishap=MISHAPS)
    def replay(self, number: int, mishap: tuple[str, int] | None) -> None:
        """Have a person deliver something again that is over."""
        over = self.it.deliveries(REPLAYABLE)
        if over:
            event, destination = over[number % len(over)]
            self._verb(lambda: self.it.replay(event, destination), mishap)

    @rule(destination=st.sampled_from(NAMES), resumes=st.booleans(), mishap=MISHAPS)
    def pause(self, destination: str, resumes: bool, mishap: tuple[str, int] | None) -> None:  # noqa: FBT001
        """Have a person pause a destination, or end that."""
        self._verb(lambda: (self.it.resume if resumes else self.it.pause)(destination), mishap)

    @rule(narrow=st.sampled_from([True, True, False]))
    def route(self, *, narrow: bool) -> None:
        """Deploy other routes: some events go nowhere, and of some it can't be told where they go."""
        self.it.route(narrow=narrow)

    @rule(change=st.sampled_from(CHANGES))
    def begin_deploy(self, change: Callable[[Layout], Layout]) -> None:
        """Begin to deploy another layout."""
        self.it.begin_deploy(change(self.it.layout))

    @rule(function=st.sampled_from(FUNCTIONS))
    def switch(self, function: str) -> None:
        """Have one function know it, too."""
        self.it.switch(function)

    @rule(fails=st.sampled_from([False, False, True]))
    def end_deploy(self, *, fails: bool) -> None:
        """Have all functions know it, unless the deploy *fails*, and clean up."""
        if fails:
            self.it.roll_back()
        else:
            self.it.end_deploy()

    @rule(mishap=MISHAPS)
    def route_again(self, mishap: tuple[str, int] | None) -> None:
        """Have a person replay what no route took."""
        self._verb(self.it.route_again, mishap)

    @rule(seconds=st.sampled_from(SPANS_S), mishap=MISHAPS)
    def wait(self, seconds: float, mishap: tuple[str, int] | None) -> None:
        """Let time pass, and what QStash sends come in.  No sweep runs meanwhile: it may be out, too."""
        self._verb(lambda: self.it.wait(seconds=seconds), mishap if mishap and mishap[0] not in MEANWHILE else None)

    # -- what others do -----------------------------------------------------------------------------------------------

    @rule(destination=st.sampled_from(NAMES), behaviour=st.sampled_from(sorted(Behaviour)))
    def behave(self, destination: str, behaviour: Behaviour) -> None:
        """Have a destination do something else from now on."""
        self.it.destinations.behaviour[destination] = behaviour

    @rule(hindrance=st.sampled_from(HINDRANCES), count=st.integers(1, 3))
    def hinder(self, hindrance: dict[str, Any], count: int) -> None:
        """Have QStash be slow, away, or odd."""
        self.it.fault(**hindrance, count=count)

    @rule(refused=st.sampled_from(["whole", "by_item"]))
    def refuse(self, refused: str) -> None:
        """Have QStash refuse batches with an item that it can't take whole, or that item alone, from now on."""
        self.it.ask_qstash("PATCH", "/admin/settings", {"batch_refused": refused}, admin=True)

    @rule()
    def roll_keys(self) -> None:
        """Have somebody roll QStash's signing keys."""
        self.it.account.rotate()

    @rule(what=st.sampled_from(["drift", "cancel", "retry"]), number=st.integers(0, 20))
    def meddle(self, what: str, number: int) -> None:
        """Have somebody do in QStash's console what is the relay's to do."""
        match what:
            case "drift":
                self.it.drift(NAMES[number % len(NAMES)])
            case "cancel":
                self.it.cancel(number)
            case _:
                self.it.retry_dead_letters()

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
