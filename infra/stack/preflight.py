"""The custom resource that a deploy begins with: it fails before the deploy makes anything that stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import CustomResource, Duration, Stack
from aws_cdk.custom_resources import Provider
from constructs import Construct, IConstruct

from infra.stack.functions import relay_logs

if TYPE_CHECKING:
    from infra.stack.functions import RelayFunction
    from infra.stack.secrets import Secrets

SERVICE_TIMEOUT_S = 180  # more than the function's own 120 s, and far less than CloudFormation's hour of waiting


class Preflight(Construct):
    """Has *function* check QStash's token and QStash at the beginning of a deploy.

    It needs no resource that stays after a failed first deploy; such resources wait for it (`comes_before`).

    Args:
        take_over: Whether a first deploy takes over QStash's resources of the relay's name.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        function: RelayFunction,
        relay: str,
        secrets: Secrets,
        take_over: bool = False,
    ) -> None:
        super().__init__(scope, id_)
        secrets.grant_preflight(function)
        # Only this stack: the function asks whether the deploy is its first.
        function.allow("FindStack", ["cloudformation:DescribeStacks"], [Stack.of(self).stack_id])
        provider = Provider(self, "Provider", on_event_handler=function, log_group=relay_logs(self, "ProviderLogs"))
        self._resource = CustomResource(
            self,
            "Check",
            resource_type="Custom::Preflight",
            service_token=provider.service_token,
            properties={"Relay": relay, "Secret": secrets.qstash, **({"TakeOver": "1"} if take_over else {})},
            service_timeout=Duration.seconds(SERVICE_TIMEOUT_S),
        )

    def comes_before(self, *constructs: IConstruct) -> None:
        """Have *constructs* made only after the check has succeeded."""
        for construct in constructs:
            construct.node.add_dependency(self._resource)
