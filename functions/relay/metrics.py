"""The relay's metrics: one name each, all here; CloudWatch reads them from the log (embedded metric format)."""

from __future__ import annotations

from enum import StrEnum

from aws_lambda_powertools import single_metric
from aws_lambda_powertools.metrics import MetricUnit

NAMESPACE = "FanoutRelay"


class Metric(StrEnum):
    """What the relay counts; alarms and the dashboard name these."""

    ACCEPTED = "Accepted"
    DUPLICATES = "Duplicates"
    REFUSED = "Refused"
    PUBLISH_FAILED = "PublishFailed"
    UNPUBLISHABLE = "Unpublishable"
    DELIVERED = "Delivered"
    DEAD_LETTERED = "DeadLettered"
    ORPHANS = "Orphans"
    DUE_AGE = "DueAge"


def count(metric: Metric, value: float = 1) -> None:
    """Add *value* to *metric*; the dimension is the verb (POWERTOOLS_SERVICE_NAME)."""
    unit = MetricUnit.Seconds if metric is Metric.DUE_AGE else MetricUnit.Count
    with single_metric(name=metric.value, unit=unit, value=value, namespace=NAMESPACE) as one:
        one.add_metadata("metric", metric.value)
