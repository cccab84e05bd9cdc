"""The relay's secrets: made beforehand by `relay secret set`, imported by name, so that no template holds one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import ArnFormat, Stack
from constructs import Construct

from relay.config import secret_names

if TYPE_CHECKING:
    from infra.stack.functions import RelayFunction


class Secrets(Construct):
    """QStash's token, GitHub's, what each source signs with, and what destinations' own headers hold."""

    def __init__(self, scope: Construct, id_: str, *, relay: str) -> None:
        super().__init__(scope, id_)
        self.qstash = secret_names.qstash(relay)
        self.sources = secret_names.sources(relay)
        self.github = secret_names.github(relay)
        self.destinations = secret_names.destinations(relay)

    def grant_preflight(self, function: RelayFunction) -> None:
        """Let *function* look whether QStash takes the relay's token."""
        self._grant(function, "QStashToken", self.qstash)

    def grant_publish(self, function: RelayFunction) -> None:
        """Let *function* speak to QStash with the relay's token."""
        self._grant(function, "QStashToken", self.qstash)
        function.add_environment("RELAY_QSTASH_SECRET", self.qstash)

    def grant_verify(self, function: RelayFunction) -> None:
        """Let *function* check who sent a webhook."""
        self._grant(function, "SigningSecrets", self.sources)
        function.add_environment("RELAY_SOURCES_SECRET", self.sources)

    def grant_ask_github(self, function: RelayFunction) -> None:
        """Let *function* speak to GitHub's API with its owner's token."""
        self._grant(function, "GitHubToken", self.github)
        function.add_environment("RELAY_GITHUB_SECRET", self.github)

    def grant_destinations(self, function: RelayFunction) -> None:
        """Let *function* publish with the secrets that destinations' own headers name."""
        self._grant(function, "DestinationSecrets", self.destinations)
        function.add_environment("RELAY_DESTINATIONS_SECRET", self.destinations)

    def _grant(self, function: RelayFunction, sid: str, name: str) -> None:
        # Secrets Manager ends a secret's ARN with a dash and six characters of its own.  What isn't there is asked for
        # by an ARN without them: who may not ask for that is told that access is denied, and not that there is none.
        arns = [
            Stack.of(self).format_arn(
                service="secretsmanager",
                resource="secret",
                resource_name=resource_name,
                arn_format=ArnFormat.COLON_RESOURCE_NAME,
            )
            for resource_name in (name, f"{name}-??????")
        ]
        function.allow(sid, ["secretsmanager:GetSecretValue"], arns)
