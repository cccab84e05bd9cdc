"""Calls over the boundary of a process, counted, and what goes wrong with one of them on command.

A process that crashed makes no further call: what it would have done on its way out, it doesn't do.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Answer = TypeVar("Answer")


class Crash(BaseException):
    """The process that made the call is gone.  No error: nobody may catch it."""


class Fault(StrEnum):
    """What goes wrong with one call."""

    REFUSED = "refused"  # answered with an error; nothing was done
    LOST = "lost"  # never arrived, never answered
    VOID = "void"  # done, never answered
    REPEATED = "repeated"  # done, not answered, and done again by the client's own second try, whose answer counts
    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"


@dataclass(frozen=True)
class Boundary:
    """How a service fails: what its client raises where it refuses, and where it is silent.

    Attributes:
        tries: How often its client sends a call whose answer doesn't come.
    """

    refused: Callable[[str], Exception]
    silent: Callable[[str], Exception]
    tries: int = 1


@dataclass
class Process:
    """Who makes calls: which function's role it has, if any, and the call in which it crashed."""

    function: str = ""
    crashed: str = ""


@dataclass
class Calls:
    """All calls of all processes, one after the other.

    Attributes:
        made: What was called, in order.
    """

    made: list[str] = field(default_factory=list)
    _armed: dict[int, Fault | Callable[[], object]] = field(default_factory=dict)
    _processes: list[Process] = field(default_factory=lambda: [Process()])
    _lock: Any = field(default_factory=threading.RLock)

    def arm(self, fault: Fault | Callable[[], object], after: int = 0) -> None:
        """Have *fault* befall the next call, or that *after* so many; a function is called before it."""
        self._armed[len(self.made) + after] = fault

    def disarm(self) -> bool:
        """Let nothing go wrong any more; tell whether there was something that hasn't yet."""
        left = bool(self._armed)
        self._armed.clear()
        return left

    @property
    def function(self) -> str:
        """The function whose role the process has that makes calls now; none where nobody's is played."""
        return self._processes[-1].function

    @contextmanager
    def process(self, function: str = "") -> Iterator[None]:
        """Make calls as another process, which may crash alone, with the role of *function*."""
        self._processes.append(Process(function))
        try:
            yield
        finally:
            self._processes.pop()

    def take(self, name: str, do: Callable[[], Answer], boundary: Boundary) -> Answer:
        """Make the call *name*, which is *do*, unless something goes wrong with it."""
        with self._lock:
            process = self._processes[-1]
            if process.crashed:
                raise Crash(name)
            number = len(self.made)
            self.made.append(name)
            fault = self._armed.pop(number, None)
            if fault is None:
                return do()
            if not isinstance(fault, Fault):
                fault()
                return do()
            return self._gone_wrong(fault, name, do, boundary, process)

    def _gone_wrong(
        self, fault: Fault, name: str, do: Callable[[], Answer], boundary: Boundary, process: Process
    ) -> Answer:
        if fault is Fault.REFUSED:
            raise boundary.refused(name)
        if fault in {Fault.VOID, Fault.REPEATED, Fault.CRASH_AFTER}:
            self._quietly(do)
        if fault in {Fault.CRASH_BEFORE, Fault.CRASH_AFTER}:
            process.crashed = name
            raise Crash(name)
        if fault is Fault.REPEATED and boundary.tries > 1:
            return do()
        raise boundary.silent(name)

    @staticmethod
    def _quietly(do: Callable[[], object]) -> None:
        with suppress(Exception):  # an error answer that nobody hears is none
            do()
