"""Runs schedules: a publish at every time of a cron expression.

Hides the task that each schedule has, and how a change of schedules can be undone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..language import grammar
from ..language.cron import read_cron
from ..language.grammar import Refused, within
from ..language.options import OF_SCHEDULES, read_options
from .publish import admit, commit, limit_queues, plan
from .signing import random_id
from .state import Schedule, User

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .engine import Engine
    from .messages import Wanted


def put_schedule(engine: Engine, user: User, asked: Wanted) -> Schedule:
    """Make a schedule, or replace all of the one with the same id but its age and whether it is paused."""
    cron, wanted_id, queue_name = (asked.headers.get(key, [""])[-1] for key in OF_SCHEDULES)
    limits, now_ms = engine.settings.limits, int(engine.clock.now() * 1000)
    to_publish = {key: values for key, values in asked.headers.items() if key not in OF_SCHEDULES}
    if queue_name:
        grammar.name(queue_name, "Upstash-Queue-Name")
    schedule_id = grammar.name(wanted_id, "Upstash-Schedule-Id") if wanted_id else f"scd_{random_id()}"
    wanted = replace(asked, headers=to_publish, queue_name=queue_name or None, schedule_id=schedule_id)
    schedule = Schedule(schedule_id, read_cron(cron), wanted, read_options(to_publish, limits), now_ms)
    plan(engine, user, wanted)  # this may refuse, and so may these
    limit_queues(engine, user, {wanted.queue_name})
    if old := user.schedules.get(schedule_id):
        schedule.created_ms, schedule.paused = old.created_ms, old.paused
        engine.stop(_task(user, schedule_id))
    else:
        within(len(user.schedules) + 1, limits.schedules, "maxSchedules")
    user.schedules[schedule_id] = schedule
    engine.start(_task(user, schedule_id), _run(engine, user, schedule))
    return schedule


def delete_schedule(engine: Engine, user: User, schedule: Schedule) -> None:
    """Forget a schedule; what it has published already goes on."""
    del user.schedules[schedule.id]
    engine.stop(_task(user, schedule.id))


def copied(user: User) -> dict[str, Schedule]:
    """Return all schedules as they are now."""
    return {schedule.id: replace(schedule) for schedule in user.schedules.values()}


def undoing(engine: Engine, user: User, before: Mapping[str, Schedule]) -> Callable[[], None]:
    """Return what makes those schedules that are no longer as *before* be so again."""
    now = user.schedules
    changed = [name for name in {**before, **now} if now.get(name) != before.get(name)]

    def undo() -> None:
        for name in changed:
            engine.stop(_task(user, name))
            user.schedules.pop(name, None)
            if was := before.get(name):
                user.schedules[name] = was
                engine.start(_task(user, name), _run(engine, user, was))

    return undo


def _task(user: User, schedule_id: str) -> str:
    return f"schedule {schedule_id} of {user.token}"


async def _run(engine: Engine, user: User, schedule: Schedule) -> None:
    at_s: float | None = engine.clock.now()
    # A timer may end a little early by the clock, so the next run is looked for after the last, not after now.
    while at_s is not None and (at_s := schedule.cron.next_s(max(at_s, engine.clock.now()))) is not None:
        await engine.clock.sleep(at_s - engine.clock.now())
        if not schedule.paused:
            _trigger(engine, user, schedule)


def _trigger(engine: Engine, user: User, schedule: Schedule) -> None:
    if engine.faults.of_tick(schedule):
        return
    schedule.last_ms, schedule.last, schedule.error = int(engine.clock.now() * 1000), [], ""
    try:
        publication = plan(engine, user, schedule.wanted)
        admit(engine, user, [publication])
    except Refused as refused:  # for instance, its URL group is gone
        schedule.error = refused.text
        return
    commit(engine, user, publication)
    schedule.last = [message for _, message in publication.messages if message.id in user.messages]
