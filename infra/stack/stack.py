"""The stack: one relay, from its front door to its alarms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_cdk import CfnOutput, Duration, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_lambda as lambda_
from aws_cdk.aws_events_targets import LambdaFunction

from infra.config import quarantine
from infra.config.flatten import flatten
from infra.stack.alarms import Alarms
from infra.stack.functions import RelayFunction
from infra.stack.gateway import Gateway
from infra.stack.preflight import Preflight
from infra.stack.secrets import Secrets
from infra.stack.storage import Storage
from infra.stack.sync import QStashSync
from relay import urls
from relay.config.settings import named_secrets
from relay.query import routes
from relay.query.routes import Permission
from relay.targets.kinds import KINDS, arn_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from aws_cdk import IStackSynthesizer
    from constructs import Construct

    from infra.config.models import Config


# The CDK moves statements that don't fit a role's own policy into managed ones of 6,144 characters, whole.
# Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
STATEMENT_MAX_CHARS = 4000


class RelayStack(Stack):
    """One deployment of the relay.

    Args:
        config: relay.toml.
        code: The directory that every function runs.
        ingest_code: The directory that ingest runs, where it needs more than the others.
        base_url: The URL that the relay is reached at, if it isn't the API's own.
        github_api_url: Where GitHub's API is, if it isn't api.github.com: of GitHub Enterprise Server.
        take_over: Whether a first deploy takes over QStash's resources of the relay's name.
        synthesizer: How assets get to the account, if not through the account's CDK bootstrap.
    """

    def __init__(
        self,
        scope: Construct,
        *,
        config: Config,
        code: Path,
        ingest_code: Path | None = None,
        base_url: str | None = None,
        github_api_url: str | None = None,
        take_over: bool = False,
        synthesizer: IStackSynthesizer | None = None,
    ) -> None:
        super().__init__(
            scope,
            config.relay.name,
            description="Fanout Relay: receives webhooks, fans them out through QStash, records what became of them",
            synthesizer=synthesizer,
        )
        self._config = config
        self._flat = flatten(config)
        self._code = lambda_.Code.from_asset(str(code))
        self._ingest_code = lambda_.Code.from_asset(str(ingest_code)) if ingest_code else self._code
        self._quarantine_days = quarantine.days(self._flat["sources"])
        self.storage = Storage(
            self, "Storage", retention_days=config.relay.retention_days, quarantine_days=self._quarantine_days
        )
        self.secrets = Secrets(self, "Secrets", relay=config.relay.name)
        self._preflight(take_over=take_over)
        self.gateway = Gateway(self, "Gateway", base_url=base_url, throttle=config.relay.throttle)
        self._base_urls = list(filter(None, (config.relay.url, self.gateway.url)))
        self._functions()
        self._grants()
        self.reconcile = self._reconcile(github_api_url)
        self._routes()
        self._schedule()
        self._sync_first(take_over=take_over)
        alarms = Alarms(
            self,
            "Alarms",
            relay=config.relay.name,
            emails=config.relay.alarm_emails,
            functions=self.functions,
            ingest=self.ingest,
            sweep=self.sweep,
            reconcile=self.reconcile,
            audit=self.audit,
            gateway=self.gateway,
        )
        alarms.watch_canaries(self._flat["sources"])
        if self._quarantine_days:
            alarms.watch_quarantine()
        self._outputs(alarms)

    def _preflight(self, *, take_over: bool) -> None:
        """Check the most common causes of a failed first deploy before the deploy makes anything that stays."""
        function = RelayFunction(
            self,
            "preflight",
            code=self._code,
            timeout_s=120,
            tracing=self._config.relay.tracing,
            description="Looks whether a deploy can succeed",
            environment={},
        )
        relay = self._config.relay.name
        preflight = Preflight(self, "Before", function=function, relay=relay, secrets=self.secrets, take_over=take_over)
        preflight.comes_before(self.storage.table, self.storage.bucket)

    def _functions(self) -> None:
        self.ingest = self._function(
            "ingest",
            code=self._ingest_code,
            timeout_s=29,  # the gateway waits 30 s
            memory_mb=1024,  # bodies of 4 MiB, and sources wait: memory buys CPU
            description="Verifies, saves and publishes webhooks",
        )
        self.record = self._function("record", timeout_s=15, description="Records what QStash reports of deliveries")
        self.deliver = self._function("deliver", timeout_s=29, description="Hands deliveries to AWS destinations")
        self.claim = self._function("claim", timeout_s=15, description="Redirects to bodies too large to carry")
        self.query = self._function("query", timeout_s=29, description="Answers operators and starts replays")
        self.sweep = self._function("sweep", timeout_s=55, description="Publishes what is due, every minute")
        self.audit = self._function("audit", timeout_s=120, description="Balances the ledger, every five minutes")
        self.sync = self._function("sync", timeout_s=300, description="Makes QStash match the configuration")
        self.functions = [self.ingest, self.record, self.deliver, self.claim, self.query]
        self.functions += [self.sweep, self.audit, self.sync]

    def _function(
        self, verb: str, *, timeout_s: int, description: str, memory_mb: int = 512, code: lambda_.Code | None = None
    ) -> RelayFunction:
        limits = self._config.relay.concurrency
        return RelayFunction(
            self,
            verb,
            code=code or self._code,
            timeout_s=timeout_s,
            memory_mb=memory_mb,
            concurrency=limits.of(verb) if limits else None,
            tracing=self._config.relay.tracing,
            description=description,
            environment={
                "RELAY_TABLE": self.storage.table.table_name,
                "RELAY_BUCKET": self.storage.bucket.bucket_name,
                "RELAY_BASE_URLS": ",".join(self._base_urls),
            },
        )

    def _grants(self) -> None:
        self.storage.grant_accept(self.ingest)
        self.secrets.grant_publish(self.ingest)
        self.secrets.grant_verify(self.ingest)
        if self._quarantine_days:
            self.storage.grant_quarantine(self.ingest)

        self.storage.grant_record(self.record)

        self.storage.grant_deliver(self.deliver)
        self._grant_hand_over(self.deliver)

        self.storage.grant_claim(self.claim)

        self.storage.grant_query(self.query)
        # A replay leaves its deliveries due and wakes sweep, so that they needn't wait for the next minute.
        self.query.add_environment("RELAY_SWEEP_FUNCTION", self.sweep.function_name)
        self.query.allow("WakeSweep", ["lambda:InvokeFunction"], [self.sweep.function_arn])

        self.storage.grant_sweep(self.sweep)
        self.secrets.grant_publish(self.sweep)

        self.storage.grant_audit(self.audit)
        self.secrets.grant_publish(self.audit)

        self.storage.grant_sync(self.sync)
        self.secrets.grant_publish(self.sync)

        if named_secrets(self._flat["destinations"]):
            for function in (self.ingest, self.sweep):
                self.secrets.grant_destinations(function)

    def _grant_hand_over(self, function: RelayFunction) -> None:
        """Let *function* reach the targets of the configuration, each with the actions of its kind, and no other."""
        function.add_environment("RELAY_ACCOUNT", self.account)
        function.add_environment("RELAY_PARTITION", self.partition)
        arns: dict[str, set[str]] = {}
        targets = [it["target"] for it in self._flat["destinations"].values() if it["target"]]
        for target in targets:
            arn = arn_of(target, partition=self.partition, region=self.region, account=self.account)
            arns.setdefault(target["kind"], set()).add(arn)
        for kind, of_kind in sorted(arns.items()):
            for number, some in enumerate(_of_a_statement(sorted(of_kind)), 1):
                more = str(number) if number > 1 else ""
                function.allow(f"HandOver{kind.title().replace('_', '')}{more}", KINDS[kind].actions, some)

    def _reconcile(self, github_api_url: str | None) -> RelayFunction | None:
        """Make the function that compares GitHub's deliveries with the ledger, where a source names hooks."""
        if not any(it.reconcile for it in self._config.sources.values()):
            return None
        function = self._function("reconcile", timeout_s=300, description="Asks GitHub for events that never came")
        self.storage.grant_reconcile(function)
        self.secrets.grant_ask_github(function)
        if github_api_url:
            function.add_environment("GITHUB_API_URL", github_api_url)
        events.Rule(
            self,
            "EveryQuarterOfAnHour",
            description="Runs the relay's reconcile",
            schedule=events.Schedule.rate(Duration.minutes(15)),
            targets=[LambdaFunction(function, retry_attempts=0)],
        )
        self.functions.append(function)
        return function

    def _routes(self) -> None:
        self.gateway.open(self.ingest, ("ANY", urls.WEBHOOK_PATH))
        self.gateway.catch(self.ingest)
        self.gateway.open(self.record, ("POST", urls.CALLBACK_PATH), ("POST", urls.FAILURE_PATH))
        self.gateway.open(self.deliver, ("POST", urls.DELIVER_PATH))
        claims = urls.CLAIM_PATH
        self.gateway.open(self.claim, ("GET", claims), ("HEAD", claims))
        functions = {function.verb: function for function in self.functions}
        for verb in dict.fromkeys(route.function for route in routes.ROUTES):
            guarded = [(route.method, route.path) for route in routes.served_by(verb).values()]
            if verb != "ingest" or self._quarantine_days:  # of ingest's routes only the quarantine's ask for IAM
                self.gateway.guard(functions[verb], *guarded)

    def _schedule(self) -> None:
        every_minute = [LambdaFunction(self.sweep, retry_attempts=0) for _ in range(self._config.relay.sweeps)]
        self._run_every(1, "EveryMinute", "Runs the relay's sweep", every_minute)
        self._run_every(5, "EveryFiveMinutes", "Runs the relay's audit", [LambdaFunction(self.audit, retry_attempts=0)])

    def _run_every(self, minutes: int, id_: str, description: str, targets: list[LambdaFunction]) -> None:
        schedule = events.Schedule.rate(Duration.minutes(minutes))
        events.Rule(self, id_, description=description, schedule=schedule, targets=[*targets])

    def _sync_first(self, *, take_over: bool) -> None:
        """Change QStash before the functions: the URL groups that they publish to exist when they start."""
        sync = QStashSync(
            self,
            "QStash",
            function=self.sync,
            flat=self._flat,
            base_url=self._base_urls[0],
            take_over=take_over,
        )
        sync.resource.node.add_dependency(self.storage.table)
        for function in self.functions:
            if function is not self.sync:
                function.node.add_dependency(sync.resource)

    def _outputs(self, alarms: Alarms) -> None:
        url = self._base_urls[0]
        read = self.gateway.operators(
            "OperatorRead", description="Ask the relay what happened", routes=routes.allowed(Permission.READ)
        )
        operate = self.gateway.operators(
            "OperatorOperate",
            description="Ask the relay, replay, pause destinations, let in what was kept, and mend QStash",
            routes=routes.allowed(Permission.OPERATE),
        )
        # None for a source, since a template has 200 outputs at most: `relay source list` tells their URLs.
        outputs: dict[str, Any] = {
            "RelayUrl": url,
            "ApiUrl": self.gateway.url,  # operators' requests are signed for its host, and a proxy has another
            "RelayName": self._config.relay.name,
            "TableName": self.storage.table.table_name,
            "BucketName": self.storage.bucket.bucket_name,
            "SyncFunction": self.sync.function_name,
            "SweepFunction": self.sweep.function_name,
            "AuditFunction": self.audit.function_name,
            Permission.READ.value: read.managed_policy_arn,
            Permission.OPERATE.value: operate.managed_policy_arn,
            "AlarmTopic": alarms.topic.topic_arn,
            **({"ReconcileFunction": self.reconcile.function_name} if self.reconcile else {}),
        }
        for name, value in outputs.items():
            CfnOutput(self, name, value=value)


def _of_a_statement(arns: Sequence[str]) -> Iterator[list[str]]:
    """Yield *arns* in parts, each as long as one statement may be."""
    part: list[str] = []
    for arn in arns:
        if part and sum(map(len, part)) + len(arn) > STATEMENT_MAX_CHARS:
            yield part
            part = []
        part.append(arn)
    yield part
