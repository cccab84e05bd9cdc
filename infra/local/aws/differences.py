"""Every difference between the stack on the local AWS and the one on AWS; a test proves that there is no other.

Three differences are arguments of the stack: the code without wheels (the local AWS runs functions in its own
interpreter), the base URL, and a bucket for assets instead of the account's CDK bootstrap.  `DIFFERENCES` has the
others, which `apply` makes to the finished stack.
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
    """A local AWS to deploy into: the relay's base URL, the bucket for assets, and the fixed id of the API."""

    base_url: str
    staging_bucket: str
    api_id: str

    @classmethod
    def of(cls, context: str | dict[str, Any] | None) -> LocalAws | None:
        """Read the context value `local`: JSON, the path of a JSON file, or the object.  None if unset.

        Raises:
            ValueError: The value is none of these.
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
        """Return a synthesizer that uploads assets with the caller's credentials: there are no bootstrap roles."""
        return CliCredentialsStackSynthesizer(file_assets_bucket_name=self.staging_bucket)


@dataclass(frozen=True)
class Difference:
    """One property that is set, or one resource type that is left out, on the local AWS.

    Attributes:
        type: The CloudFormation type.
        why: The reason.
        path: The property's dotted path; None leaves out the whole resource.
        value: The property's value; a field of `LocalAws` in braces stands for that field's value.
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
REMOVAL = RemovalPolicy.DESTROY  # for every resource: nothing may outlive a local stack


def apply(stack: Stack, local: LocalAws) -> None:
    """Make `DIFFERENCES` to the finished *stack*, and no other change but `REMOVAL`."""
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
