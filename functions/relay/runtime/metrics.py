"""The relay's metrics, with all their names; CloudWatch reads them from the log (embedded metric format).

Each metric has the relay's name as a dimension: an account may have several relays, with alarms of their own.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from aws_lambda_powertools import single_metric
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from relay.errors import Defect

if TYPE_CHECKING:
    from relay.model.event import Event

NAMESPACE = "FanoutRelay"
_OWN = {"relay": "unnamed"}  # a process runs a function of one relay; the wiring sets its name


class Metric(StrEnum):
    """The names of the metrics, which alarms and dashboards use."""

    ACCEPTED = "Accepted"
    DUPLICATES = "Duplicates"
    REFUSED = "Refused"
    PUBLISH_FAILED = "PublishFailed"
    UNPUBLISHABLE = "Unpublishable"
    REMOVED = "Removed"
    UNACCOUNTED = "Unaccounted"
    REOPENED = "Reopened"
    CONFLICTS = "Conflicts"
    SETTLED = "SettledFromLog"
    DELIVERED = "Delivered"
    DEAD_LETTERED = "DeadLettered"
    ORPHANS = "Orphans"
    DUE_AGE = "DueAge"
    HANDSHAKES = "Handshakes"
    SPOOLED = "Spooled"
    SUSPECTED_REPLAYS = "SuspectedReplays"
    MISSING = "Missing"
    UNROUTED = "Unrouted"
    ROUTE_FAILED = "RouteFailed"
    DRIFT = "Drift"
    DEFECTS = "Defects"
    SPOOL_AGE = "SpoolAge"
    SPOOL_DEPTH = "SpoolDepth"
    CANARY_TIME = "CanaryTime"
    NOT_QUARANTINED = "NotQuarantined"


def count_for(relay: str) -> None:
    """Set the dimension `relay` of all further metrics to *relay*."""
    _OWN["relay"] = relay


def count(metric: Metric, value: float = 1) -> None:
    """Add *value* to *metric*; beside the relay's name its dimension is the verb (POWERTOOLS_SERVICE_NAME)."""
    unit = MetricUnit.Seconds if metric in (Metric.DUE_AGE, Metric.SPOOL_AGE) else MetricUnit.Count
    _emit(metric, unit, value)


def count_defect(error: Exception) -> None:
    """Count a failure *error* of the relay's own code, with its place in the code."""
    _emit(Metric.DEFECTS, MetricUnit.Count, 1, where=str(Defect(error)))


def _emit(metric: Metric, unit: MetricUnit, value: float, **told: str) -> None:
    with single_metric(metric.value, unit, value, namespace=NAMESPACE, default_dimensions={**_OWN}) as one:
        one.add_metadata("metric", metric.value)
        for name, text in told.items():
            one.add_metadata(name, text)


def count_routing(event: Event) -> None:
    """Count a new *event* that no route takes, or whose routes couldn't all be computed."""
    if not event.expected:
        count(Metric.UNROUTED)
    if event.route_error:
        count(Metric.ROUTE_FAILED)


def count_refused(source: str, reason: str) -> None:
    """Count one refused request: in the total of its verb, and by *source* and *reason*, in one line of the log.

    Each pair that occurs is a metric of its own, which CloudWatch charges for: both come from fixed sets.
    """
    # A single_metric has one set of dimensions.
    one = EphemeralMetrics(namespace=NAMESPACE, default_dimensions={**_OWN})
    one.add_metric(name=Metric.REFUSED.value, unit=MetricUnit.Count, value=1)
    one.add_dimensions(source=source, reason=reason)
    one.add_metadata("metric", Metric.REFUSED.value)
    one.flush_metrics()


def time_canary(relay: str, source: str, seconds: float) -> None:
    """Emit how long an event of the canary *source* of *relay* took from its arrival to its delivery.

    Whichever verb heard of the end: so the alarm on silence looks at relay and source, not at the verb.
    """
    one = EphemeralMetrics(namespace=NAMESPACE, default_dimensions={"relay": relay})
    one.add_metric(name=Metric.CANARY_TIME.value, unit=MetricUnit.Seconds, value=seconds)
    one.add_dimensions(source=source)
    one.add_metadata("metric", Metric.CANARY_TIME.value)
    one.flush_metrics()
