"""The relay's HTTP API: its open routes, and its guarded ones with their callers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from aws_cdk import Duration, Fn, Stack
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk.aws_apigatewayv2_authorizers import HttpIamAuthorizer
from aws_cdk.aws_apigatewayv2_integrations import HttpLambdaIntegration
from constructs import Construct

from infra.stack.functions import relay_logs
from relay.runtime.metrics import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.config.capacity import Throttle
    from infra.stack.functions import RelayFunction

TOO_LARGE, THROTTLED = "TooLarge", "Throttled"  # the metrics of the access log
COUNTED = {TOO_LARGE: 413, THROTTLED: 429}  # metric -> the status that it counts
# API Gateway puts a variable's value between the quotes as it is: nothing says that it escapes it, and a quote in a
# User-Agent would end the text, the line would be no JSON, and the metric filters below would find no status in it.  So
# nothing is here that a caller or an error words: only numbers, enumerations, and what the gateway itself makes up.
# And neither paths nor queries: the path of a callback carries a MAC.
# Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging-variables.html
_ACCESS_LOG = {
    "at": "$context.requestTime",
    "request_id": "$context.requestId",
    "route": "$context.routeKey",
    "status": "$context.status",
    "source_ip": "$context.identity.sourceIp",
    "response_length": "$context.responseLength",
    "latency_ms": "$context.responseLatency",
    "integration_status": "$context.integration.integrationStatus",
    "integration_latency_ms": "$context.integrationLatency",
    "error": "$context.error.responseType",
}
# What begins so stands in the account's resource policy of CloudWatch Logs but once.  Of others it has each name, and
# when its 5,120 characters are full, deploys fail.
# Source: https://docs.aws.amazon.com/step-functions/latest/dg/bp-cwl.html
ACCESS_LOGS = "/aws/vendedlogs/apigateway/"


class Gateway(Construct):
    """The HTTP API.  It is made before the functions, which need its URL; `open` and `guard` then add their routes."""

    def __init__(self, scope: Construct, id_: str, *, base_url: str | None, throttle: Throttle | None) -> None:
        super().__init__(scope, id_)
        self.api = apigateway.HttpApi(self, "Api", api_name=Stack.of(self).stack_name, create_default_stage=False)
        stack = Stack.of(self)
        self.url = base_url or f"https://{self.api.api_id}.execute-api.{stack.region}.{stack.url_suffix}"
        # No throttle that nobody set: a webhook refused by it is a lost event.  The account's holds.
        limits = apigateway.ThrottleSettings(rate_limit=throttle.rate, burst_limit=throttle.burst) if throttle else None
        stage = apigateway.HttpStage(
            self, "Stage", http_api=self.api, stage_name="$default", auto_deploy=True, throttle=limits
        )
        cfn_stage = cast("apigateway.CfnStage", stage.node.default_child)
        # With the stack's own id: a log group that a destroyed or failed stack of this name left is in nobody's way.
        name = f"{ACCESS_LOGS}{stack.stack_name}-{Fn.select(2, Fn.split('/', stack.stack_id))}"
        access_logs = relay_logs(self, "AccessLogs", name=name)
        cfn_stage.access_log_settings = apigateway.CfnStage.AccessLogSettingsProperty(
            destination_arn=access_logs.log_group_arn,
            format=json.dumps({"relay": stack.stack_name, **_ACCESS_LOG}),
        )
        # API Gateway counts all 4xx in one, and a request that it refuses reaches no function that could count it.
        for metric, status in COUNTED.items():
            access_logs.add_metric_filter(
                metric,
                filter_pattern=logs.FilterPattern.string_value("$.status", "=", str(status)),
                metric_namespace=NAMESPACE,
                metric_name=metric,
                dimensions={"relay": "$.relay"},
            )
        self._iam = HttpIamAuthorizer()

    def metric(self, name: str, *, period: Duration) -> cloudwatch.Metric:
        """Return the metric *name* of `COUNTED`: the requests that got its status, from a function or the gateway."""
        return cloudwatch.Metric(
            namespace=NAMESPACE,
            metric_name=name,
            dimensions_map={"relay": Stack.of(self).stack_name},
            period=period,
            statistic="Sum",
        )

    def open(self, function: RelayFunction, *routes: tuple[str, str]) -> None:
        """Send *routes*, (method, path), to *function*, which checks signatures itself."""
        self._add(function, routes, authorizer=None)

    def catch(self, function: RelayFunction) -> None:
        """Send requests that no route takes to *function*, so that a wrong path leaves a trace."""
        apigateway.HttpRoute(
            self,
            "Default",
            http_api=self.api,
            route_key=apigateway.HttpRouteKey.DEFAULT,
            integration=HttpLambdaIntegration(f"{function.verb.capitalize()}Rest", function),
        )

    def guard(self, function: RelayFunction, *routes: tuple[str, str]) -> None:
        """Send *routes*, (method, path), to *function*, for callers that IAM lets through."""
        self._add(function, routes, authorizer=self._iam)

    def operators(self, id_: str, *, description: str, routes: Sequence[str]) -> iam.ManagedPolicy:
        """Return a policy that lets its owner call *routes* (like `GET/v1/*`) and find this relay's outputs."""
        stack = Stack.of(self)
        arns = [
            stack.format_arn(service="execute-api", resource=self.api.api_id, resource_name=f"$default/{route}")
            for route in routes
        ]
        # By name, whatever its id: the relay command asks by name.
        this_stack = stack.format_arn(service="cloudformation", resource="stack", resource_name=f"{stack.stack_name}/*")
        return iam.ManagedPolicy(
            self,
            id_,
            description=description,
            statements=[
                iam.PolicyStatement(sid="Ask", actions=["execute-api:Invoke"], resources=arns),
                iam.PolicyStatement(sid="Find", actions=["cloudformation:DescribeStacks"], resources=[this_stack]),
            ],
        )

    def _add(
        self,
        function: RelayFunction,
        routes: Sequence[tuple[str, str]],
        *,
        authorizer: apigateway.IHttpRouteAuthorizer | None,
    ) -> None:
        integration = HttpLambdaIntegration(function.verb.capitalize(), function)
        for method, path in routes:
            self.api.add_routes(
                path=path,
                methods=[apigateway.HttpMethod[method]],
                integration=integration,
                authorizer=authorizer,
            )
