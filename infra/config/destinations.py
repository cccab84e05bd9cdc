"""Where events are relayed to: public URLs, with headers of their own, and targets in AWS, by name or by ARN."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, Tag, ValidationInfo, model_validator

from infra.config import urls
from infra.config.publishing import BY_KIND
from infra.config.schemes import Table
from infra.config.types import Expression, HeaderValue, Name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.config.mistakes import Wrong

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
    "s3": r"(?![0-9.]+\Z)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
}
_ARNS = {  # the service, and what stands before the name; a bucket's name is the only one in the world
    "eventbridge": ("events", "event-bus/"),
    "sqs": ("sqs", ""),
    "sns": ("sns", ""),
    "lambda": ("lambda", "function:"),
    "step_functions": ("states", "stateMachine:"),
}
_GOES_WITH = {
    "headers": ("url",),
    "detail_type": ("eventbridge",),
    "group_id": ("sqs", "sns"),
    "prefix": ("s3",),
    "claim_check": KINDS[1:],
}


def arn_of(target: Mapping[str, Any], *, partition: str, region: str, account: str) -> str:
    """Return the ARN of *target*, as `Destination.flat` has it: its own, else that of its name at the given place.

    Of a bucket it is that of the objects that the relay may put there.
    """
    if target["kind"] == "s3":
        return f"arn:{partition}:s3:::{target['name']}/{target.get('prefix') or ''}*"
    service, resource = _ARNS[target["kind"]]
    return target.get("arn") or f"arn:{partition}:{service}:{region}:{account}:{resource}{target['name']}"


def _name_in(kind: str, said: str) -> str | None:
    """Return the name in *said*, which is a name or an ARN; None where AWS would take it for neither."""
    service, resource = _ARNS.get(kind, ("", ""))
    where = rf"(arn:aws[a-z-]*:{service}:[a-z0-9-]+:[0-9]{{12}}:{resource})?" if service else "()"
    found = re.fullmatch(f"{where}({_FORMS[kind]})", said)
    return found[2] if found else None


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
    """`[url_groups.x.destinations.y]`: a public URL, or one AWS target: its name, or its ARN where it is elsewhere."""

    url: Annotated[
        PublicUrl | None,
        Field(
            description="A public https URL; it may stand alone, in place of the table.",
            examples=["https://a.example/"],
        ),
    ] = None
    headers: dict[
        str, Annotated[Annotated[HeaderValue, Tag("(text)")] | Annotated[Secret, Tag("(table)")], BY_KIND]
    ] = Field(
        default_factory=dict,
        description="Headers that it alone gets; it is then published to alone, and QStash shows nobody their values.",
        examples=[{"Authorization": {"secret": "erp"}, "X-Team": "a"}],
    )
    eventbridge: Annotated[
        str | None, Field(description="The name of an event bus, or its ARN.", examples=["default"])
    ] = None
    detail_type: Annotated[
        str | None,
        Field(
            min_length=1, max_length=128, description="Of the entry; without it the event type.", examples=["github"]
        ),
    ] = None
    sqs: Annotated[str | None, Field(description="The name of an SQS queue, or its ARN.", examples=["orders.fifo"])] = (
        None
    )
    sns: Annotated[str | None, Field(description="The name of an SNS topic, or its ARN.", examples=["orders"])] = None
    group_id: Annotated[
        Expression | None,
        Field(
            description="Of a FIFO queue or topic: what keeps order among which messages.", examples=["body.account"]
        ),
    ] = None
    lambda_: Annotated[
        str | None,
        Field(
            alias="lambda",
            description="The name or ARN of a function, which is invoked asynchronously.",
            examples=["ship"],
        ),
    ] = None
    step_functions: Annotated[
        str | None, Field(description="The name of a standard state machine, or its ARN.", examples=["order"])
    ] = None
    s3: Annotated[str | None, Field(description="The name of a bucket.", examples=["archive"])] = None
    prefix: Annotated[
        str | None, Field(max_length=256, description="Before the keys in the bucket.", examples=["webhooks/"])
    ] = None
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

    def mistakes(self, at: str) -> Iterator[Wrong]:
        """Yield what is wrong between the settings of the destination at the dotted path *at*."""
        kinds = [it for it in KINDS if self._named(it) is not None]
        if not kinds:
            yield at, f"must have exactly one of {', '.join(KINDS)}"
            return
        for kind in kinds[1:]:
            yield f"{at}.{kind}", f"is another place than {kinds[0]}: have exactly one of {', '.join(KINDS)}"
        name = str(self._named(kinds[0]))
        if kinds[0] in _FORMS and _name_in(kinds[0], name) is None:
            what = "the name or the ARN" if kinds[0] in _ARNS else "the name alone"
            yield f"{at}.{kinds[0]}", f"'{name}' is nothing that AWS takes there: say {what}"
        for setting, those in _GOES_WITH.items():
            if getattr(self, setting) not in (None, {}) and not set(those) & set(kinds):
                yield f"{at}.{setting}", f"goes with {' or '.join(those)}, and this is {kinds[0]}: take it out"
        if (kinds[0] in ("sqs", "sns")) and name.endswith(".fifo") != (self.group_id is not None):
            yield f"{at}.group_id", "and a name that ends in .fifo go together: set both, or neither"
        yield from self._wrong_headers(f"{at}.headers")

    def _wrong_headers(self, at: str) -> Iterator[Wrong]:
        for header, times in Counter(it.lower() for it in self.headers).items():
            if times > 1:
                yield f"{at}.{header}", "is named twice, in capitals and not: a header's name has no case"
        for header in self.headers:
            if not HEADER.fullmatch(header) or _TAKEN.fullmatch(header):
                yield f"{at}.{header}", "is no header that a destination can have: rename it"

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
        said = str(self._named(kind))
        target = {"kind": kind, "name": _name_in(kind, said)} | ({"arn": said} if said.startswith("arn:") else {})
        return {"url": None, "headers": {}, "target": {**target, **more, **checks}}
