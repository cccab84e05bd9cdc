"""What a plan of QStash allows, held to a configuration before a deploy meets it.

The figures are those of the local QStash.  Of the fixed plans the price list gives few, so nothing is refused there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from infra.local.qstash.limits import PLANS, Limits

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from infra.config import Config
    from infra.mistakes import Wrong
    from infra.publishing import PublishSettings

Plan = Literal["free", "payg", "fixed"]
SCHEDULE_RETRIES = 5  # of QStash's posts to the relay itself
_OLD_RETRIES: dict[Plan, int] = {"free": 3, "payg": 5, "fixed": 20}  # QStash's documentation until 2024
_REFUSED: dict[Plan, str] = {
    "free": "once the limit of QStash's plan 'free' (qstash.plan): QStash may refuse to publish",
    "payg": "which QStash is reported to refuse on its free plan, and nobody can ask it for its plan: all would be"
    ' unpublishable; lower it, or say [qstash] plan = "fixed" where yours is one',
    "fixed": "the most that QStash's documentation gives any plan",
}
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def mistakes(config: Config, tables: Sequence[tuple[str, PublishSettings]]) -> Iterator[Wrong]:
    """Yield what asks more of QStash than the plan in `[qstash]` allows.

    Args:
        tables: The publish settings of the file by dotted path.
    """
    plan = config.qstash.plan
    if plan == "fixed":
        return
    yield from _counts(config, plan, PLANS[plan])
    yield from _figures(config, plan, PLANS[plan], tables)


def _counts(config: Config, plan: Plan, most: Limits) -> Iterator[Wrong]:
    """There are no more URL groups, endpoints, schedules and queues than the plan has."""
    schedules = sum(it.cron is not None for it in config.sources.values())
    counted = (
        ("url_groups", "URL groups", len(config.url_groups), most.groups),
        ("queues", "queues", len(config.queues), most.queues),
        ("sources", "schedules", schedules, most.schedules),
        *(
            (f"url_groups.{group}.destinations", "destinations", len(it.destinations), most.endpoints)
            for group, it in config.url_groups.items()
        ),
    )
    for at, what, count, limit in counted:
        if count > limit:
            yield at, f"has {count} {what}: {_plan(plan)} has {limit} at most"


def _figures(
    config: Config, plan: Plan, most: Limits, tables: Sequence[tuple[str, PublishSettings]]
) -> Iterator[Wrong]:
    """No queue, delay or timeout is above what the plan has."""
    for name, queue in config.queues.items():
        if queue.parallelism > most.parallelism:
            yield f"queues.{name}.parallelism", f"is above {most.parallelism}, the limit of {_plan(plan)}"
    for at, table in tables:
        for setting, seconds, limit in (
            ("delay", table.delay, most.delay_s),
            ("timeout", table.timeout, most.timeout_s),
        ):
            if isinstance(seconds, int) and limit is not None and seconds > limit:
                yield f"{at}.{setting}", f"is longer than {span(limit)}, the limit of {_plan(plan)}"


def warnings(config: Config, tables: Sequence[tuple[str, PublishSettings]]) -> Iterator[Wrong]:
    """Yield retries above what QStash's documentation gave as the limit of the plan until 2024."""
    plan = config.qstash.plan
    most = _OLD_RETRIES[plan]
    for at, table in tables:
        if table.retries is not None and table.retries > most:
            yield f"{at}.retries", f"is above {most}, {_REFUSED[plan]}"
    unsaid = [group for group, it in config.url_groups.items() if it.retries is None]
    if most < SCHEDULE_RETRIES:
        for group in unsaid:
            said = f"has 5 retries by default, above {most}, once the limit of {_plan(plan)}: set retries = {most}"
            yield f"url_groups.{group}", said


def schedule_retries(plan: Plan) -> int:
    """Return how often QStash tries again to post what a schedule makes to the relay."""
    return min(SCHEDULE_RETRIES, _OLD_RETRIES[plan])


def span(seconds: float) -> str:
    """Return *seconds* in the largest unit that they fill."""
    for unit, length in _UNITS:
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"


def _plan(plan: Plan) -> str:
    return f"QStash's plan '{plan}' (qstash.plan)"
