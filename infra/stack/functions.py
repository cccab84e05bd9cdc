"""The relay's Lambda functions: one construct makes every one, so that they differ only in their purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs

from relay.runtime.metrics import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from constructs import Construct

LOG_RETENTION = logs.RetentionDays.ONE_MONTH


class RelayFunction(lambda_.Function):
    """The function of one verb, with a log group and a role of its own, with no permissions but those of `allow`."""

    def __init__(
        self,
        scope: Construct,
        verb: str,
        *,
        code: lambda_.Code,
        environment: Mapping[str, str],
        timeout_s: int,
        memory_mb: int = 512,
        concurrency: int | None = None,
        tracing: bool = False,
        description: str,
    ) -> None:
        name = verb.capitalize()
        log_group = relay_logs(scope, f"{name}Logs")
        self.verb = verb
        super().__init__(
            scope,
            name,
            description=description,
            code=code,
            handler=f"{verb}.handler",
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,
            memory_size=memory_mb,
            timeout=Duration.seconds(timeout_s),
            reserved_concurrent_executions=concurrency,
            tracing=lambda_.Tracing.ACTIVE if tracing else lambda_.Tracing.DISABLED,
            log_group=log_group,
            # A role given is a role without AWSLambdaBasicExecutionRole, which could write to every log group.
            role=iam.Role(scope, f"{name}Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com")),
            environment={
                **environment,
                "POWERTOOLS_SERVICE_NAME": verb,
                "POWERTOOLS_METRICS_NAMESPACE": NAMESPACE,
                "POWERTOOLS_LOG_LEVEL": "INFO",
            },
            # The rules run sweep and audit again by themselves; retries would pile up.
            retry_attempts=0,
        )
        self.allow("Logs", ["logs:CreateLogStream", "logs:PutLogEvents"], [log_group.log_group_arn])

    def allow(
        self,
        sid: str,
        actions: Sequence[str],
        resources: Sequence[str],
        *,
        conditions: Mapping[str, Mapping[str, object]] | None = None,
    ) -> None:
        """Let this function do *actions* on *resources* under *conditions*; *sid* names the purpose in a word."""
        self.add_to_role_policy(
            iam.PolicyStatement(sid=sid, actions=[*actions], resources=[*resources], conditions=conditions)
        )


def relay_logs(scope: Construct, id_: str, *, name: str | None = None) -> logs.LogGroup:
    """Return a log group that keeps a month and goes with the stack: records are in the table, not in logs.

    Args:
        name: Its name; None lets CloudFormation name it.
    """
    return logs.LogGroup(scope, id_, log_group_name=name, retention=LOG_RETENTION, removal_policy=RemovalPolicy.DESTROY)
