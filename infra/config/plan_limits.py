"""Checks a configuration against the limits of its plan of QStash, before a deploy fails at one.

The figures are those of the local QStash.  QStash's price list gives few for the fixed plans: nothing is refused there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.local.qstash.language.limits import PLANS, Limits

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from infra.config.mistakes import Wrong
    from infra.config.models import Config, Plan
    from infra.config.publishing import PublishSettings

SCHEDULE_RETRIES = 5  # of QStash's posts to the relay itself
# Of the free plan, as people report it: more is answered "quota maxRetries exceeded".  Of the others, QStash's
# documentation until 2024; its price list says nothing of retries any more.
RETRIES: dict[Plan, int] = {"free": 5, "payg": 5, "fixed": 20}
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def mistakes(config: Config, tables: Sequence[tuple[str, PublishSettings]]) -> Iterator[Wrong]:
    """Yield the settings that ask more of QStash than the plan in `[qstash]` allows.

    Args:
        tables: The publish settings of the file by dotted path.
    """
    plan = config.qstash.plan
    if plan == "fixed":
        return
    yield from _counts(config, plan, PLANS[plan])
    yield from _figures(config, plan, PLANS[plan], tables)


def _counts(config: Config, plan: Plan, most: Limits) -> Iterator[Wrong]:
    """The file has no more URL groups, endpoints, schedules and queues than the plan allows."""
    schedules = sum(it.cron is not None for it in config.sources.values())
    counted = (
        ("url_groups", "URL groups", len(config.url_groups), most.groups),
        ("queues", "queues", len(config.queues), most.queues),
        ("sources", "schedules", schedules, most.schedules),
        *(
            (f"url_groups.{name}.destinations", "destinations", len(group.destinations), most.endpoints)
            for name, group in config.url_groups.items()
        ),
    )
    for at, what, count, limit in counted:
        if count > limit:
            yield at, f"has {count} {what}, and {_plan(plan)} allows {limit}: take some out, or choose another plan"


def _figures(
    config: Config, plan: Plan, most: Limits, tables: Sequence[tuple[str, PublishSettings]]
) -> Iterator[Wrong]:
    """No queue, delay or timeout is above the plan's limit."""
    for name, queue in config.queues.items():
        if queue.parallelism > most.parallelism:
            yield f"queues.{name}.parallelism", f"is above {most.parallelism}, the limit of {_plan(plan)}: lower it"
    for at, table in tables:
        for setting, seconds, limit in (
            ("delay", table.delay, most.delay_s),
            ("timeout", table.timeout, most.timeout_s),
        ):
            if isinstance(seconds, int) and limit is not None and seconds > limit:
                yield f"{at}.{setting}", f"is longer than {span(limit)}, the limit of {_plan(plan)}: shorten it"


def warnings(config: Config, tables: Sequence[tuple[str, PublishSettings]]) -> Iterator[Wrong]:
    """Yield retries that QStash may refuse; events with such a setting are then never published."""
    plan = config.qstash.plan
    most = RETRIES[plan]
    for at, table in tables:
        if table.retries is not None and table.retries > most:
            told = (
                f'is above {most}, and QStash may refuse to publish ("quota maxRetries exceeded") under {_plan(plan)}'
            )
            yield f"{at}.retries", f"{told}: set {most} or less, unless your account allows more"


def span(seconds: float) -> str:
    """Return *seconds* in the largest unit that they fill."""
    for unit, length in _UNITS:
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"


def _plan(plan: Plan) -> str:
    return f"QStash's plan '{plan}' (qstash.plan)"
