"""Destinations in relay.toml: public URLs with headers of their own, and targets in AWS by name or ARN."""

from __future__ import annotations

import keyword
import re
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, Tag, ValidationInfo, create_model, model_validator

from infra.config import urls
from infra.config.publishing import BY_KIND
from infra.config.schemes import Table
from infra.config.types import ExpressionText, HeaderValue, Name
from relay.targets.kinds import GROUP_ID, KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.config.mistakes import Wrong
    from relay.targets.kinds import Kind, Setting

HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}")
# The relay's, QStash's and HTTP's own: none of them is a destination's.
_TAKEN = re.compile(r"(relay|upstash)-.*|host|content-(length|type)|connection|transfer-encoding", re.IGNORECASE)
PLACES = ("url", *KINDS)


def _public_url(text: str, info: ValidationInfo) -> str:
    wrong = urls.problem(text, allow_local=bool(info.context and info.context["allow_local"]))
    if wrong:
        raise ValueError(wrong)
    return text


PublicUrl = Annotated[str, AfterValidator(_public_url)]


class SecretName(Table):
    """`{ secret = "NAME" }`: a value from Secrets Manager, which `relay secret set destination:NAME` stores."""

    secret: Annotated[Name, Field(description="The name in `relay secret set destination:NAME`.", examples=["erp"])]


class _Url(Table):
    url: Annotated[
        PublicUrl | None,
        Field(
            description="A public https URL; it may stand alone, in place of the table.",
            examples=["https://a.example/"],
        ),
    ] = None
    headers: dict[
        str, Annotated[Annotated[HeaderValue, Tag("(text)")] | Annotated[SecretName, Tag("(table)")], BY_KIND]
    ] = Field(
        default_factory=dict,
        description="Headers that it alone gets; it is then published to alone, and QStash shows nobody their values.",
        examples=[{"Authorization": {"secret": "erp"}, "X-Team": "a"}],
    )


def _target_fields() -> dict[str, Any]:
    """Return pydantic's fields of all kinds of AWS targets, and of their settings: each after the last kind with it."""
    fields: dict[str, Any] = {}
    for kind in KINDS.values():
        said = Field(alias=kind.name, description=kind.description, examples=[kind.example])
        fields[_field(kind.name)] = (Annotated[str | None, said], None)
        for setting in kind.settings:
            fields.pop(setting.name, None)
            fields[setting.name] = (_setting_type(setting), None)
    return fields


def _setting_type(setting: Setting) -> Any:
    text = ExpressionText if setting.is_expression else str
    said = Field(
        min_length=setting.min_chars,
        max_length=setting.max_chars,
        description=setting.description,
        examples=[setting.example],
    )
    return Annotated[text | None, said]


def _field(name: str) -> str:
    """Return what the setting *name* is called in Python, where `lambda` is a word of the language."""
    return f"{name}_" if keyword.iskeyword(name) else name


if TYPE_CHECKING:
    _Place = _Url  # no type checker knows the fields that the rows make
else:
    _Place = create_model("_Place", __base__=_Url, **_target_fields())


class Destination(_Place):
    """`[url_groups.x.destinations.y]`: a public URL, or one AWS target: its name, or its ARN where it is elsewhere."""

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
        """Yield the mistakes between the settings of the destination at the dotted path *at*."""
        places = [name for name in PLACES if self.setting(name) is not None]
        if not places:
            yield at, f"must have exactly one of {', '.join(PLACES)}"
            return
        place, *others = places
        for other in others:
            yield f"{at}.{other}", f"is a second place beside {place}: have exactly one of {', '.join(PLACES)}"
        for setting, owners in _owners().items():
            if self.setting(setting) not in (None, {}) and not set(owners) & set(places):
                yield (
                    f"{at}.{setting}",
                    f"goes with {' or '.join(owners)}, and this destination is {place}: take it out",
                )
        if place in KINDS:
            yield from self._wrong_target(at, KINDS[place])
        yield from self._wrong_headers(f"{at}.headers")

    def _wrong_target(self, at: str, kind: Kind) -> Iterator[Wrong]:
        text = str(self.setting(kind.name))
        if kind.name_in(text) is None:
            what = "the name or the ARN" if kind.takes_arn else "the name alone"
            yield f"{at}.{kind.name}", f"'{text}' isn't one that AWS takes: say {what}"
        if GROUP_ID in kind.settings and text.endswith(".fifo") != (self.setting(GROUP_ID.name) is not None):
            yield (
                f"{at}.{GROUP_ID.name}",
                "goes with a name that ends in .fifo, and the name with it: set both, or neither",
            )

    def _wrong_headers(self, at: str) -> Iterator[Wrong]:
        for header, times in Counter(it.lower() for it in self.headers).items():
            if times > 1:
                yield f"{at}.{header}", "is named twice, since upper and lower case are the same header: take one out"
        for header in self.headers:
            if not HEADER.fullmatch(header) or _TAKEN.fullmatch(header):
                yield f"{at}.{header}", "can't be a header of a destination: rename it"

    def setting(self, name: str) -> Any:
        """Return the setting *name* of relay.toml; None where it isn't set."""
        return getattr(self, _field(name))

    def flat(self) -> dict[str, Any]:
        """Return the destination as the functions read it."""
        (place,) = (name for name in PLACES if self.setting(name) is not None)
        if place == "url":
            headers = {
                name: value if isinstance(value, str) else {"secret": value.secret}
                for name, value in self.headers.items()
            }
            return {"url": self.url, "headers": headers, "target": None}
        kind, text = KINDS[place], str(self.setting(place))
        target = {"kind": kind.name, "name": kind.name_in(text)}
        if text.startswith("arn:"):
            target["arn"] = text
        target |= {it.name: self.setting(it.name) for it in kind.settings if self.setting(it.name) is not None}
        checks = {"claim_check": False} if self.claim_check is False else {}
        return {"url": None, "headers": {}, "target": {**target, **checks}}


def _owners() -> dict[str, list[str]]:
    """Return the kinds of places that each setting goes with, for settings that not every destination can have."""
    found = {"headers": ["url"], "claim_check": list(KINDS)}
    for kind in KINDS.values():
        for setting in kind.settings:
            found.setdefault(setting.name, []).append(kind.name)
    return found
