"""The kinds of AWS targets, a row each, for relay.toml, the stack and the hand-over.

A new kind takes a row here and a function in `relay.targets.handover`.  The settings of relay.toml, their checks, their
reference and the grants of the stack follow from the row.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

KIB = 1024


@dataclass(frozen=True)
class Setting:
    """A setting of relay.toml that some kinds of targets have.

    Attributes:
        description: For the reference and for editors.
        example: For the reference and for editors.
        is_expression: Whether its text is JMESPath over the event.
        min_chars: The least length of its text; None for no limit.
        max_chars: The greatest length of its text; None for no limit.
    """

    name: str
    description: str
    example: str
    is_expression: bool = False
    min_chars: int | None = None
    max_chars: int | None = None


DETAIL_TYPE = Setting("detail_type", "Of the entry; without it the event type.", "github", min_chars=1, max_chars=128)
GROUP_ID = Setting(
    "group_id", "Of a FIFO queue or topic: what keeps order among which messages.", "body.account", is_expression=True
)
PREFIX = Setting("prefix", "Before the keys in the bucket.", "webhooks/", max_chars=256)


@dataclass(frozen=True)
class Kind:
    """A kind of AWS target.

    Attributes:
        name: Its name in relay.toml.
        description: Of the name that a destination of this kind gives, for the reference and for editors.
        example: Of such a name.
        name_pattern: The names that AWS allows, as a regular expression.
        arn: The ARN that the relay is granted, with `{partition}`, `{region}`, `{account}`, `{name}` and `{prefix}`.
        actions: The IAM actions that a hand-over needs.
        client: The service's name in boto3.
        max_bytes: The size limit of a delivery, of a message with its attributes; None where it is above any webhook.
        settings: The settings of relay.toml that go with this kind.
        knows_again: Whether it recognizes a delivery that it gets twice.  A FIFO queue or topic does, too.
    """

    name: str
    description: str
    example: str
    name_pattern: str
    arn: str
    actions: tuple[str, ...]
    client: str
    max_bytes: int | None
    settings: tuple[Setting, ...] = ()
    knows_again: bool = False

    @property
    def takes_arn(self) -> bool:
        """Whether relay.toml may name it by its ARN, too.  A bucket's name is unique in the world and needs none."""
        return "{account}" in self.arn

    def name_in(self, text: str) -> str | None:
        """Return the name in *text*, a name or an ARN; None where AWS takes *text* as neither."""
        before_name = self.arn.partition("{name}")[0]
        prefix = before_name.format(partition="aws[a-z-]*", region="[a-z0-9-]+", account="[0-9]{12}")
        found = re.fullmatch(f"({prefix if self.takes_arn else ''})?({self.name_pattern})", text)
        return found[2] if found else None


# The size limits are each service's own, from its page of quotas.
KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            name="eventbridge",
            description="The name of an event bus, or its ARN.",
            example="default",
            name_pattern=r"[A-Za-z0-9._/-]{1,256}",
            arn="arn:{partition}:events:{region}:{account}:event-bus/{name}",
            actions=("events:PutEvents",),
            client="events",
            max_bytes=1024 * KIB,  # since 29 January 2026; where it is less, AWS itself refuses, for good
            settings=(DETAIL_TYPE,),
        ),
        Kind(
            name="sqs",
            description="The name of an SQS queue, or its ARN.",
            example="orders.fifo",
            name_pattern=r"[A-Za-z0-9_-]{1,80}|[A-Za-z0-9_-]{1,75}\.fifo",
            arn="arn:{partition}:sqs:{region}:{account}:{name}",
            actions=("sqs:GetQueueUrl", "sqs:SendMessage"),
            client="sqs",
            max_bytes=1024 * KIB,
            settings=(GROUP_ID,),
        ),
        Kind(
            name="sns",
            description="The name of an SNS topic, or its ARN.",
            example="orders",
            name_pattern=r"[A-Za-z0-9_-]{1,256}|[A-Za-z0-9_-]{1,251}\.fifo",
            arn="arn:{partition}:sns:{region}:{account}:{name}",
            actions=("sns:Publish",),
            client="sns",
            max_bytes=256 * KIB,
            settings=(GROUP_ID,),
        ),
        Kind(
            name="lambda",
            description="The name or ARN of a function, which is invoked asynchronously.",
            example="ship",
            name_pattern=r"[A-Za-z0-9_-]{1,64}(:[A-Za-z0-9$_-]{1,128})?",
            arn="arn:{partition}:lambda:{region}:{account}:function:{name}",
            actions=("lambda:InvokeFunction",),
            client="lambda",
            max_bytes=1024 * KIB,
        ),
        Kind(
            name="step_functions",
            description="The name of a standard state machine, or its ARN.",
            example="order",
            name_pattern=r"[A-Za-z0-9_-]{1,80}",
            arn="arn:{partition}:states:{region}:{account}:stateMachine:{name}",
            actions=("states:StartExecution",),
            client="stepfunctions",
            max_bytes=256 * KIB,
            knows_again=True,
        ),
        Kind(
            name="s3",
            description="The name of a bucket.",
            example="archive",
            name_pattern=r"(?![0-9.]+\Z)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
            arn="arn:{partition}:s3:::{name}/{prefix}*",  # the objects that the relay may put there
            actions=("s3:PutObject",),
            client="s3",
            max_bytes=None,
            settings=(PREFIX,),
            knows_again=True,
        ),
    )
}


def arn_of(target: Mapping[str, Any], *, partition: str, region: str, account: str) -> str:
    """Return the ARN of *target*, a table of the flat configuration.

    The ARN is the target's `arn`, or is made of its name in the given account and region.
    """
    if "arn" in target:
        return str(target["arn"])
    return KINDS[target["kind"]].arn.format(
        partition=partition,
        region=region,
        account=account,
        name=target["name"],
        prefix=target.get("prefix") or "",
    )
