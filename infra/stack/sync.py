"""The custom resource that makes QStash hold what relay.toml says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_cdk import CustomResource, Duration, Stack
from aws_cdk.custom_resources import Provider
from constructs import Construct

from infra.config.desired import desired
from infra.stack.functions import relay_logs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.stack.functions import RelayFunction

SERVICE_TIMEOUT_S = 360  # more than sync's own 300 s, and far less than CloudFormation's hour of waiting


class QStashSync(Construct):
    """What QStash should hold, as one property, so that CloudFormation's rollback applies the old one.

    The function's PhysicalResourceId follows from `Desired`: a change is a replacement, which makes what is new
    before the functions change and removes the old ones in CloudFormation's clean-up phase.

    Args:
        take_over: Whether a first deploy takes over what QStash holds of the relay's name.  A property of its own, so
            that with it or without CloudFormation asks again, and replaces nothing.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        function: RelayFunction,
        flat: Mapping[str, Any],
        base_url: str,
        take_over: bool = False,
    ) -> None:
        super().__init__(scope, id_)
        provider = Provider(self, "Provider", on_event_handler=function, log_group=relay_logs(self, "ProviderLogs"))
        self.resource = CustomResource(
            self,
            "Groups",
            resource_type="Custom::QStash",
            service_token=provider.service_token,
            properties={
                "Desired": Stack.of(self).to_json_string(desired(flat, base_url)),
                **({"TakeOver": "1"} if take_over else {}),
            },
            service_timeout=Duration.seconds(SERVICE_TIMEOUT_S),
        )
