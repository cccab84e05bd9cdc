"""How much the relay takes at once, and who hears when something is wrong: `[relay]`'s own limits and addresses.

Both limits are off by default.  A webhook beyond one is turned away, and many sources never send again; and in a new
account, whose functions run ten at a time all together, Lambda lets none of it be reserved, so that a deploy fails.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from infra.config.schemes import Table

LIMIT_MAX = 1_000_000  # far above what AWS gives anybody
EMAIL_MAX_CHARS = 254  # RFC 5321
_EMAIL = re.compile(r"[A-Za-z0-9_%+'-]+(\.[A-Za-z0-9_%+'-]+)*@([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,}")


def _email(text: str) -> str:
    if len(text) > EMAIL_MAX_CHARS or not _EMAIL.fullmatch(text):
        raise ValueError("must be an e-mail address like ops@example.com")
    return text


def _once(addresses: list[str]) -> list[str]:
    known = set[str]()
    for address in addresses:
        if address.lower() in known:
            raise ValueError(f"'{address}' is named twice: take one out")
        known.add(address.lower())
    return addresses


_Email = Annotated[str, AfterValidator(_email), Field(json_schema_extra={"format": "email"})]
Emails = Annotated[list[_Email], AfterValidator(_once)]


_Limit = Annotated[int, Field(ge=1, le=LIMIT_MAX)]


class Throttle(Table):
    """`[relay.throttle]`: what API Gateway lets through, and answers 429 beyond; sources may never send that again."""

    rate: Annotated[_Limit, Field(description="Requests a second.", examples=[100])]
    burst: Annotated[_Limit, Field(description="Requests at once, which the rate then fills up.", examples=[200])]


class Concurrency(Table):
    """`[relay.concurrency]`: how many of a function run at once, reserved for it and its limit; off where unsaid.

    Lambda keeps 100 of an account's for all functions that reserve none.
    """

    ingest: Annotated[_Limit | None, Field(description="Webhooks taken in.", examples=[50])] = None
    record: Annotated[_Limit | None, Field(description="Callbacks of QStash.", examples=[50])] = None
    deliver: Annotated[_Limit | None, Field(description="Deliveries to AWS destinations.", examples=[20])] = None
    claim: Annotated[_Limit | None, Field(description="Redirects to large bodies.", examples=[5])] = None

    def of(self, verb: str) -> int | None:
        """Return how many of the function of *verb* run at once; None: nothing is reserved for it."""
        found: int | None = getattr(self, verb, None)
        return found
