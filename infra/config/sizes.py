"""Checks the size of a configuration against AWS's limits on a stack, before a deploy fails at one.

Nothing else of a stack grows with the configuration: `tests/infra/test_size.py` holds a large one to every limit.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from infra.config.desired import desired
from relay.targets.kinds import arn_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.config.mistakes import Wrong

# An update's event has what is desired twice, as text in JSON, and CloudFormation invokes asynchronously.  Lambda takes
# 1 MB so by Invoke, and 262,144 bytes by InvokeAsync; which of them CloudFormation calls is said nowhere.  And an item
# of DynamoDB, 400 KB, has the states of two deploys, and of one that failed between them.
# Source: https://docs.aws.amazon.com/lambda/latest/dg/API_InvokeAsync.html
DESIRED_MAX_BYTES = 110_000
# A role has ten managed policies beside its own, of 6,144 characters each, of which a statement fills 4,000 at least.
# Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
ARNS_MAX_CHARS = 40_000
# A stack has 500 resources, of which fewer than 200 are there anyway: each of these is one more.
# Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
CANARIES_AND_EMAILS_MAX = 300
_LONGEST = {"partition": "aws-us-gov", "region": "ap-southeast-1", "account": "0" * 12}
_BASE_URL = "https://0123456789.execute-api.ap-southeast-1.amazonaws.com.cn"  # as long as an API's own


def mistakes(flat: Mapping[str, Any], *, url: str | None, emails: int) -> Iterator[Wrong]:
    """Yield the parts of the flat configuration that are larger than AWS takes.

    Args:
        url: The relay's own domain, if the file names one.
        emails: How many addresses hear the alarms.
    """
    said = len(json.dumps(json.dumps(desired(flat, url or _BASE_URL))))
    if said > DESIRED_MAX_BYTES:
        wrong = (
            f"and the schedules have {said} bytes together, and CloudFormation takes {DESIRED_MAX_BYTES}: shorten"
            " the bodies of schedules, or make two relays of it"
        )
        yield "url_groups", wrong
    arns = {arn_of(it["target"], **_LONGEST) for it in flat["destinations"].values() if it["target"]}
    if sum(map(len, arns)) > ARNS_MAX_CHARS:
        wrong = (
            f"has AWS targets whose ARNs have over {ARNS_MAX_CHARS} characters together, more than the policies of a"
            " role hold: make two relays of it"
        )
        yield "url_groups", wrong
    canaries = sum(bool(it.get("canary")) for it in flat["sources"].values())
    if canaries + emails > CANARIES_AND_EMAILS_MAX:
        wrong = (
            f"has {canaries} canaries, and [relay] {emails} alarm_emails: a stack has room for"
            f" {CANARIES_AND_EMAILS_MAX} of them together"
        )
        yield "sources", wrong
