"""Where the stack on the local AWS differs from the one on AWS: all of it is here, and a test proves that it is.

Three things are given to the stack as it is made: the code without wheels (the local AWS runs functions in its own
interpreter), the base URL, and a bucket for assets instead of the account's CDK bootstrap.  The rest is `DIFFERENCES`,
applied to the finished stack.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aws_cdk import CfnResource, CliCredentialsStackSynthesizer, RemovalPolicy, Stack

if TYPE_CHECKING:
    from aws_cdk import IStackSynthesizer


@dataclass(frozen=True)
class LocalAws:
    """A local AWS to deploy into: the relay's URL there, the bucket that takes assets, the pinned id of the API."""

    base_url: str
    staging_bucket: str
    api_id: str

    @classmethod
    def of(cls, context: str | dict[str, Any] | None) -> LocalAws | None:
        """Return what the context value `local` says (JSON, the path of a JSON file, or the object), None if unset.

        Raises:
            ValueError: It says something else.
        """
        if not context:
            return None
        try:
            if isinstance(context, str):
                text = context if context.lstrip().startswith("{") else Path(context).read_text(encoding="utf-8")
                context = json.loads(text)
            return cls(**context)  # type: ignore[arg-type]  # TypeError for what isn't an object with our keys
        except (OSError, TypeError, ValueError) as error:
            wanted = ", ".join(field.name for field in fields(cls))
            raise ValueError(f"the context 'local' must be a JSON object with {wanted}: {error}") from None

    def synthesizer(self) -> IStackSynthesizer:
        """Return how assets get there: with the caller's own credentials, since there are no bootstrap roles."""
        return CliCredentialsStackSynthesizer(file_assets_bucket_name=self.staging_bucket)


@dataclass(frozen=True)
class Difference:
    """One property that is set, or resource type that is left out, on the local AWS.

    Attributes:
        type: The CloudFormation type.
        why: Why it has to be so.
        path: The property, dotted; None: the whole resource is left out.
        value: What the property is set to; a field of `LocalAws` in braces stands for its value.
    """

    type: str
    why: str
    path: str | None = None
    value: object = None


DIFFERENCES = (
    Difference(
        "AWS::ApiGatewayV2::Api",
        "pins the API's id, so that its URL is known before the deploy",
        path="Tags",
        value={"ms-custom-id": "{api_id}"},
    ),
    Difference(
        "AWS::DynamoDB::Table",
        "a local stack must be removable",
        path="DeletionProtectionEnabled",
        value=False,
    ),
    Difference("AWS::S3::BucketPolicy", "refuses plain HTTP, and the local AWS speaks nothing else"),
)
REMOVAL = RemovalPolicy.DESTROY  # of every resource: nothing of a local stack outlives it


def apply(stack: Stack, local: LocalAws) -> None:
    """Change the finished *stack* where it has to differ on the local AWS, and nowhere else."""
    for resource in [it for it in stack.node.find_all() if isinstance(it, CfnResource)]:
        resource.apply_removal_policy(REMOVAL)
        for difference in DIFFERENCES:
            if resource.cfn_resource_type != difference.type:
                continue
            if difference.path is not None:
                resource.add_property_override(difference.path, _filled(difference.value, local))
            elif resource.node.scope is not None:
                resource.node.scope.node.try_remove_child(resource.node.id)


def _filled(value: object, local: LocalAws) -> object:
    if isinstance(value, dict):
        return {key: _filled(it, local) for key, it in value.items()}
    return value.format(**vars(local)) if isinstance(value, str) else value
