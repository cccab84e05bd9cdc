"""Where events are relayed to: public URLs, with headers of their own, and targets in this AWS account and region."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from infra import urls
from infra.grammar import Expression, Name
from infra.rows import Table

HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}")
# The relay's, QStash's and HTTP's own: none of them is a destination's.
_TAKEN = re.compile(r"(relay|upstash)-.*|host|content-(length|type)|connection|transfer-encoding", re.IGNORECASE)
KINDS = ("url", "eventbridge", "sqs", "sns", "lambda", "step_functions", "s3")
_FORMS = {
    "eventbridge": r"[A-Za-z0-9._/-]{1,256}",
    "sqs": r"[A-Za-z0-9_-]{1,80}|[A-Za-z0-9_-]{1,75}\.fifo",
    "sns": r"[A-Za-z0-9_-]{1,256}|[A-Za-z0-9_-]{1,251}\.fifo",
    "lambda": r"[A-Za-z0-9_-]{1,64}(:[A-Za-z0-9$_-]{1,128})?",
    "step_functions": r"[A-Za-z0-9_-]{1,80}",
    "s3": r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
}
_GOES_WITH = {
    "headers": ("url",),
    "detail_type": ("eventbridge",),
    "group_id": ("sqs", "sns"),
    "prefix": ("s3",),
    "claim_check": KINDS[1:],
}


def _public_url(text: str, info: ValidationInfo) -> str:
    wrong = urls.problem(text, allow_local=bool(info.context and info.context["allow_local"]))
    if wrong:
        raise ValueError(wrong)
    return text


PublicUrl = Annotated[str, AfterValidator(_public_url)]


class Secret(Table):
    """`{ secret = "NAME" }`: what stands in Secrets Manager, as `relay secret set destination:NAME` puts it there."""

    secret: Annotated[Name, Field(description="The name in `relay secret set destination:NAME`.", examples=["erp"])]


class Destination(Table):
    """`[url_groups.x.destinations.y]`: a public URL, or one AWS target by its name in this account and region."""

    url: Annotated[
        PublicUrl | None,
        Field(
            description="A public https URL; it may stand alone, in place of the table.",
            examples=["https://a.example/"],
        ),
    ] = None
    headers: dict[str, str | Secret] = Field(
        default_factory=dict,
        description="Headers that it alone gets; it is then published to alone, and QStash shows nobody their values.",
        examples=[{"Authorization": {"secret": "erp"}, "X-Team": "a"}],
    )
    eventbridge: Annotated[str | None, Field(description="The name of an event bus.", examples=["default"])] = None
    detail_type: Annotated[
        str | None,
        Field(
            min_length=1, max_length=128, description="Of the entry; without it the event type.", examples=["github"]
        ),
    ] = None
    sqs: Annotated[str | None, Field(description="The name of an SQS queue.", examples=["orders.fifo"])] = None
    sns: Annotated[str | None, Field(description="The name of an SNS topic.", examples=["orders"])] = None
    group_id: Annotated[
        Expression | None,
        Field(
            description="Of a FIFO queue or topic: what keeps order among which messages.", examples=["body.account"]
        ),
    ] = None
    lambda_: Annotated[
        str | None,
        Field(
            alias="lambda", description="The name of a function, which is invoked asynchronously.", examples=["ship"]
        ),
    ] = None
    step_functions: Annotated[
        str | None, Field(description="The name of a standard state machine.", examples=["order"])
    ] = None
    s3: Annotated[str | None, Field(description="The name of a bucket.", examples=["archive"])] = None
    prefix: Annotated[str | None, Field(description="Before the keys in the bucket.", examples=["webhooks/"])] = None
    claim_check: Annotated[
        bool | None,
        Field(
            description="Whether an AWS target gets a claim check of a body too large to publish, or the body.",
            examples=[False],
            json_schema_extra={"default": True},
        ),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _from_url(cls, value: object) -> object:
        return {"url": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _is_one_thing(self) -> Destination:
        kinds = [it for it in KINDS if self._named(it) is not None]
        if len(kinds) != 1:
            raise ValueError(f"must have exactly one of {', '.join(KINDS)}")
        kind, name = kinds[0], str(self._named(kinds[0]))
        if kind in _FORMS and not re.fullmatch(_FORMS[kind], name):
            raise ValueError(f"{kind}: '{name}' is no name that AWS takes: say the name alone, not the ARN or the URL")
        for setting, those in _GOES_WITH.items():
            if getattr(self, setting) not in (None, {}) and kind not in those:
                raise ValueError(f"{setting} goes with {' or '.join(those)}, and this is {kind}: take it out")
        if (kind in ("sqs", "sns") and name.endswith(".fifo")) != (self.group_id is not None):
            raise ValueError("a name that ends in .fifo and group_id go together: set both, or neither")
        for header in self.headers:
            if not HEADER.fullmatch(header) or _TAKEN.fullmatch(header):
                raise ValueError(f"headers: '{header}' is no header that a destination can have: rename it")
        return self

    def _named(self, kind: str) -> str | None:
        found: str | None = getattr(self, "lambda_" if kind == "lambda" else kind)
        return found

    def flat(self) -> dict[str, Any]:
        """Return where it is, as the functions read it."""
        headers = {name: it if isinstance(it, str) else {"secret": it.secret} for name, it in self.headers.items()}
        (kind,) = (it for it in KINDS if self._named(it) is not None)
        if kind == "url":
            return {"url": self.url, "headers": headers, "target": None}
        more = {name: it for name in ("detail_type", "group_id", "prefix") if (it := getattr(self, name)) is not None}
        checks = {"claim_check": False} if self.claim_check is False else {}
        return {"url": None, "headers": {}, "target": {"kind": kind, "name": self._named(kind), **more, **checks}}
