"""The alarms: each means that a person has to look, and its description says at what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk.aws_cloudwatch_actions import SnsAction
from aws_cdk.aws_sns_subscriptions import EmailSubscription
from constructs import Construct

from infra.config.canaries import silence
from infra.stack.gateway import ACCESS_LOGS, THROTTLED, TOO_LARGE
from relay.runtime.metrics import NAMESPACE, Metric

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from infra.stack.functions import RelayFunction
    from infra.stack.gateway import Gateway

PERIOD = Duration.minutes(5)
DRIFT_PERIOD = Duration.minutes(15)  # longer than from one audit to the next
MISSING_PERIOD = Duration.hours(1)  # longer than from one run to the next: the alarm stays on until nothing is missing
DUE_AGE_MAX_S = 300  # sweep publishes what is due every minute; five missed in a row are a standstill
SPOOL_AGE_MAX_S = 900  # three sweeps and more: a table that is back has taken all in


class Alarms(Construct):
    """Alarms that notify one SNS topic; `alarm_emails` of the configuration, and others, subscribe to it."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        relay: str,
        emails: Iterable[str],
        functions: Iterable[RelayFunction],
        ingest: RelayFunction,
        sweep: RelayFunction,
        reconcile: RelayFunction | None,
        audit: RelayFunction,
        gateway: Gateway,
    ) -> None:
        super().__init__(scope, id_)
        self._relay = relay
        self.topic = self._topic(emails)
        self._watch_functions(functions, ingest=ingest, sweep=sweep, audit=audit, gateway=gateway)
        self._watch_publishing()
        self._watch_deliveries()
        if reconcile is not None:
            self._watch_reconciliation()

    def _topic(self, emails: Iterable[str]) -> sns.Topic:
        """Return the topic, which takes messages over TLS only, from CloudWatch's alarms of this account.

        Not encrypted: CloudWatch may not use the key `alias/aws/sns`, so that all alarms would fall silent, unseen.
        """
        topic = sns.Topic(self, "Topic", enforce_ssl=True)
        # A policy takes the place of the one that SNS gives a topic, which lets the whole account publish.
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="Alarms",
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            )
        )
        for address in emails:
            topic.add_subscription(EmailSubscription(address))
        return topic

    def watch_canaries(self, sources: Mapping[str, Mapping[str, Any]]) -> None:
        """Make an alarm on the silence of each canary among *sources* of the flat configuration."""
        for name, source in sources.items():
            if not source.get("canary"):
                continue
            wait = silence(source["schedule"]["cron"], source["schedule"]["timezone"])
            hours = wait.period_s * wait.periods / 3600
            self._alarm(
                f"Canary-{name}",
                cloudwatch.Metric(
                    namespace=NAMESPACE,
                    metric_name=Metric.CANARY_TIME.value,
                    dimensions_map={"relay": self._relay, "source": name},
                    period=Duration.seconds(wait.period_s),
                    statistic="SampleCount",
                ),
                f"No event of the canary {name} was delivered for {hours:.1f} h: perhaps none of any source is. Look"
                f" for it with `relay event list --source {name}`, then run `relay doctor`. (After the first deploy"
                " it is on until the first tick.)",
                below=True,
                periods=wait.periods,
            )

    def watch_quarantine(self) -> None:
        """Make an alarm on refused requests that a source's quarantine couldn't keep."""
        self._alarm(
            "NotQuarantined",
            self._metric(Metric.NOT_QUARANTINED, "ingest"),
            "A refused request isn't kept, though its source asks for that: its quarantine is full, or the bucket or"
            " the table failed. `relay source quarantine SOURCE` says what is there: set the right secret and"
            " --release it, --discard what is nobody's.",
        )

    def _watch_functions(
        self,
        functions: Iterable[RelayFunction],
        *,
        ingest: RelayFunction,
        sweep: RelayFunction,
        audit: RelayFunction,
        gateway: Gateway,
    ) -> None:
        """Make the alarms on functions that fail, requests that are refused, and rules that don't run."""
        for function in functions:
            self._alarm(
                f"{function.verb.capitalize()}Errors",
                function.metric_errors(period=PERIOD, statistic="Sum"),
                f"The function {function.verb} failed. Look at its log group for the error.",
            )
        self._alarm(
            "IngestThrottles",
            ingest.metric_throttles(period=PERIOD, statistic="Sum"),
            "Lambda had no room for webhooks, and some sources never send again. Raise or take out `concurrency` under"
            " [relay], or ask AWS for more: the account has a limit, too.",
        )
        self._alarm(
            "GatewayErrors",
            gateway.api.metric_server_error(period=PERIOD, statistic="Sum"),
            "A caller got a 5xx. A source may not send again: look for the route in the access log, the log group that"
            f" begins with {ACCESS_LOGS}{self._relay}-.",
        )
        self._alarm(
            "TooLarge",
            gateway.metric(TOO_LARGE, period=PERIOD),
            "A caller got a 413: a webhook has over 4 MiB, and nothing of it was kept. `relay source refusals` names"
            " the source where the relay itself refused it; the access log has those that the gateway refused, over"
            " 6 MB or 10 MB. Have the source send less.",
        )
        self._alarm(
            "Throttled",
            gateway.metric(THROTTLED, period=PERIOD),
            "A caller got a 429: more came at once than API Gateway lets through, and some sources never send again."
            " Raise or take out `throttle` under [relay], or ask AWS for more: the account has a limit, too.",
        )
        self._alarm(
            "SweepStopped",
            sweep.metric_invocations(period=PERIOD, statistic="Sum"),
            "Nothing publishes what is due: the rule of sweep doesn't run. Is it disabled?",
            below=True,
        )
        self._alarm(
            "AuditStopped",
            audit.metric_invocations(period=Duration.minutes(15), statistic="Sum"),
            "Nothing balances the ledger: the rule of audit doesn't run. Is it disabled?",
            below=True,
        )

    def _watch_publishing(self) -> None:
        """Make the alarms on events that wait too long, and on those that are never published."""
        self._alarm(
            "DueAge",
            self._metric(Metric.DUE_AGE, "sweep", "Maximum"),
            f"An event has waited over {DUE_AGE_MAX_S} s to be published. Is QStash up, is its quota used up, does its"
            " token hold? `relay doctor` asks.",
            threshold=DUE_AGE_MAX_S,
        )
        self._alarm(
            "SpoolAge",
            self._metric(Metric.SPOOL_AGE, "sweep", "Maximum"),
            f"An acknowledged webhook has waited over {SPOOL_AGE_MAX_S} s in the bucket to be taken in: the table was"
            " down, or still is, or the relay fails at it. `relay doctor` says how many wait, and why.",
            threshold=SPOOL_AGE_MAX_S,
        )
        for verb in ("ingest", "sweep"):  # sweep takes in and publishes the events that ingest couldn't
            self._alarm(
                f"{verb.capitalize()}Unpublishable",
                self._metric(Metric.UNPUBLISHABLE, verb),
                "QStash refused an event for good. `relay delivery list --status unpublishable` names it.",
            )
            self._alarm(
                f"{verb.capitalize()}RouteFailed",
                self._metric(Metric.ROUTE_FAILED, verb),
                "A route's `when` didn't fit an event, its body can't be read, or its source left relay.toml: the event"
                " is saved, and that route didn't take it. `relay event"
                " show` has route_error; mend relay.toml, deploy, `relay replay start` the event: the routes are asked"
                " again.",
            )
        self._alarm(
            "Removed",
            self._metric(Metric.REMOVED, "sweep"),
            "Something was still owed to a destination that a deploy took out of relay.toml, and is never sent there."
            " `relay delivery list --status removed` names it. Where that isn't meant, put the destination back,"
            " deploy, and replay it.",
        )
        for verb in ("ingest", "sweep", "audit"):
            self._alarm(
                f"{verb.capitalize()}Defects",
                self._metric(Metric.DEFECTS, verb),
                "The relay's own code failed at one event or record; it is kept, and the others went on. The log of"
                f" {verb} says where (`defects`, `publish_failed`): that is a bug to report. What can't be published"
                " for half an hour ends as unpublishable or unaccounted: `relay delivery list --status unpublishable`.",
            )

    def _watch_deliveries(self) -> None:
        """Make the alarms on dead and unaccounted deliveries, on drift in QStash, and on unknown events."""
        self._alarm(
            "DeadLettered",
            self._metric(Metric.DEAD_LETTERED, "record"),
            "A destination spent all attempts of a delivery. `relay delivery list --status dead_lettered` names it;"
            " mend the destination, then replay.",
        )
        self._alarm(
            "DeadLetteredInLog",
            self._metric(Metric.DEAD_LETTERED, "sweep"),
            "As DeadLettered, read from QStash's log since no callback told of it.",
        )
        self._alarm(
            "Unaccounted",
            self._metric(Metric.UNACCOUNTED, "audit", "Maximum"),
            "Nobody can tell what became of a delivery. `relay audit` names it, and why; a person decides whether to"
            " replay it.",
        )
        self._alarm(
            "Drift",
            self._metric(Metric.DRIFT, "audit", "Maximum", DRIFT_PERIOD),
            "QStash doesn't hold what the last deploy said: somebody changed it there, or another deployment has this"
            " name. `relay sync --plan` says what differs, `relay sync` mends it. (Looked for once an hour, and every"
            " five minutes while anything differs.)",
            periods=2,  # a deploy under way differs for one period
        )
        self._alarm(
            "Orphans",
            self._metric(Metric.ORPHANS, "record"),
            "QStash reported on an event that the relay doesn't know. Does another deployment use this name and token?",
        )

    def _watch_reconciliation(self) -> None:
        """Make the alarm on events that GitHub sent and that never came."""
        self._alarm(
            "Missing",
            self._metric(Metric.MISSING, "reconcile", "Maximum", MISSING_PERIOD),
            "GitHub sent events that never came, and asking for them again didn't help. The log of reconcile names"
            " each, and what it was answered (401: `relay secret set SOURCE`, and `relay source refusals SOURCE`"
            " says why). Mend that; what isn't asked for by itself then, redeliver at the hook's page on GitHub"
            " within 3 days.",
        )

    def _metric(
        self, metric: Metric, verb: str, statistic: str = "Sum", period: Duration = PERIOD
    ) -> cloudwatch.Metric:
        """Return *metric* as the function of *verb* of this relay counts it."""
        return cloudwatch.Metric(
            namespace=NAMESPACE,
            metric_name=metric.value,
            dimensions_map={"relay": self._relay, "service": verb},
            period=period,
            statistic=statistic,
        )

    def _alarm(
        self,
        id_: str,
        metric: cloudwatch.IMetric,
        description: str,
        *,
        threshold: int = 0,
        below: bool = False,
        periods: int = 1,
    ) -> None:
        compare = cloudwatch.ComparisonOperator
        treat = cloudwatch.TreatMissingData
        alarm = cloudwatch.Alarm(
            self,
            id_,
            metric=metric,
            alarm_description=description,
            threshold=1 if below else threshold,
            comparison_operator=compare.LESS_THAN_THRESHOLD if below else compare.GREATER_THAN_THRESHOLD,
            evaluation_periods=periods,
            treat_missing_data=treat.BREACHING if below else treat.NOT_BREACHING,
        )
        alarm.add_alarm_action(SnsAction(self.topic))
