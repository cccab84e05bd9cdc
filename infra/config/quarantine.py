"""`quarantine`: of which sources what was refused is kept, and for how long, as relay.toml says it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from relay.verification.scheme import JWTS, Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.config.mistakes import Wrong
    from infra.config.models import Source
    from infra.config.schemes import Scheme

DAY_S = 86_400
MIN_S = 3_600
MAX_S = 30 * DAY_S


def mistakes(at: str, source: Source, schemes: Mapping[str, Scheme], retention_days: int) -> Iterator[Wrong]:
    """Yield what the setting gets wrong.

    Args:
        at: Its dotted path.
        schemes: Those that there are, by name.
    """
    kept_s = source.quarantine
    if kept_s is None:
        return
    if source.cron is not None:
        yield at, "is for a source that sends webhooks: QStash sends a schedule's again by itself, so take it out"
    elif source.scheme is not None and source.scheme in schemes:
        try:
            row = Row.of(schemes[source.scheme].row())
        except ValueError:  # told where the scheme is
            return
        if not row.proves_later:
            yield at, f"can't be kept of what '{source.scheme}' sends: {_why_not(row)}, so take it out"
    if kept_s < MIN_S or kept_s > MAX_S:
        yield at, "must be an hour at least and 30 days at most"
    elif kept_s > (retention_days - 1) * DAY_S:
        yield at, f"must be a day less than the {retention_days} d that events are kept (relay.retention_days)"


def _why_not(row: Row) -> str:
    if row.algorithms[0] in JWTS:
        return "a JWT is the secret itself to whoever reads it, until it expires"
    if row.is_secret_itself or (row.special is not None and row.special.shows_secret):
        return "the secret itself is in it"
    if row.is_special_as_a_whole or not row.signs_body:
        return "its proof isn't one over the whole body, by a secret of yours"
    return "a part of the secret is in it"


def days(flat_sources: Mapping[str, Mapping[str, Any]]) -> int | None:
    """Return after how many days nothing of any source of the flat configuration is kept; None: nothing ever is."""
    longest = max((it.get("quarantine_s", 0) for it in flat_sources.values()), default=0)
    return math.ceil(longest / DAY_S) + 1 if longest else None
