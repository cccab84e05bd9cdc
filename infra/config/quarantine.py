"""`quarantine`: the sources whose refused requests are kept, and for how long, as relay.toml says it."""

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
    """Yield the mistakes in the setting.

    Args:
        at: Its dotted path.
        schemes: All schemes by name.
    """
    kept_s = source.quarantine
    if kept_s is None:
        return
    if source.cron is not None:
        yield at, "goes with webhooks, and QStash sends a schedule's events again by itself: take it out"
    elif source.scheme is not None and source.scheme in schemes:
        try:
            row = Row.of(schemes[source.scheme].row())
        except ValueError:  # told where the scheme is
            return
        if not row.proves_later:
            yield at, f"isn't possible with '{source.scheme}': {_why_not(row)}, so take it out"
    if kept_s < MIN_S or kept_s > MAX_S:
        yield at, "must be between an hour and 30 days, like 3d"
    elif kept_s > (retention_days - 1) * DAY_S:
        yield (
            at,
            f"must be a day shorter than events are kept, {retention_days} d (relay.retention_days)",
        )


def _why_not(row: Row) -> str:
    if row.algorithms[0] in JWTS:
        return "whoever reads a JWT may use it until it expires"
    if row.is_secret_itself or (row.special is not None and row.special.shows_secret):
        return "its requests carry the secret itself"
    if row.is_special_as_a_whole or not row.signs_body:
        return "its signatures don't cover the whole body with a secret of yours"
    return "its requests carry a part of the secret"


def days(flat_sources: Mapping[str, Mapping[str, Any]]) -> int | None:
    """Return after how many days no source of the flat configuration keeps a request; None where none keeps any."""
    longest = max((it.get("quarantine_s", 0) for it in flat_sources.values()), default=0)
    return math.ceil(longest / DAY_S) + 1 if longest else None
