"""What an account may ask for, by plan; more of it is refused.

Source: https://upstash.com/docs/qstash/overall/pricing; retries, endpoints and the rate of calls: the Developer API's
example account; how long logs are kept: the changelog of 2024.  Where the price list only says "custom" or "more", a
plan has ten times what the one below has.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

_DAY_S = 86_400
_YEAR_S = 365 * _DAY_S
_MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of one account; the figures are those of pay-as-you-go."""

    delay_s: int | None = _YEAR_S
    timeout_s: int = 7_200
    retries: int = 999
    message_bytes: int = 10 * _MIB
    request_bytes: int = 100 * _MIB
    groups: int = 100
    endpoints: int = 100  # of a URL group
    schedules: int = 1_000
    queues: int = 100
    parallelism: int = 100  # of a queue
    global_parallelism: int = 100  # deliveries at a time: more of them wait
    dlq_retention_s: int = 7 * _DAY_S
    log_retention_s: int = 14 * _DAY_S
    messages_per_day: int | None = None  # a UTC day; more is answered with 429
    calls_per_s: int | None = None  # that manage rather than send; more is answered with 429


_fixed = partial(Limits, delay_s=None, timeout_s=72_000, message_bytes=50 * _MIB)

PLANS = {
    "free": Limits(
        delay_s=7 * _DAY_S,
        timeout_s=900,
        message_bytes=_MIB,
        groups=1,
        schedules=10,
        queues=10,
        parallelism=2,
        global_parallelism=10,
        dlq_retention_s=3 * _DAY_S,
        log_retention_s=3 * _DAY_S,
        messages_per_day=1_000,
        calls_per_s=100,
    ),
    "payg": Limits(),
    "1m": _fixed(
        groups=1_000,
        schedules=10_000,
        queues=1_000,
        parallelism=200,
        global_parallelism=200,
        dlq_retention_s=30 * _DAY_S,
        messages_per_day=1_000_000,
    ),
    "10m": _fixed(
        groups=10_000,
        schedules=100_000,
        queues=10_000,
        parallelism=1_000,
        global_parallelism=1_000,
        dlq_retention_s=90 * _DAY_S,
        messages_per_day=10_000_000,
    ),
}
