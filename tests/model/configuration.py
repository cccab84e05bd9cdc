"""What the model's relay is told: two sources, and where their events go, which deploys change.

A layout is all URL groups, each with its destinations and what kind of destination each is.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from infra.config.schemes import built_in_schemes
from tests.flat import bus, group, publishing, route, url

if TYPE_CHECKING:
    from collections.abc import Callable


class Kind(StrEnum):
    """What a destination is."""

    URL = "url"
    OTHER_URL = "other_url"
    HEADERS = "headers"  # a URL that gets headers of its own
    AWS = "aws"


Layout = dict[str, dict[str, Kind]]

BASE = "https://relay.example.com"
FIRST: Layout = {"audit": {"ledger": Kind.URL, "erp": Kind.URL}, "ci": {"builder": Kind.URL}}
NAMES = ("builder", "crm", "erp", "ledger")
SOURCES = ("github", "stripe")
DELAYED = publishing(delay={"expression": "body.wait_s"})  # as the webhook says, if it says so
URLS = {name: f"https://{name}.example.com/in" for name in NAMES}
OTHER_URLS = {name: f"https://{name}.example.com/new" for name in NAMES}


def groups_of(source: str, layout: Layout) -> list[str]:
    """Return where *source* sends its events: the one to every URL group, the other to those of two destinations."""
    return [name for name, them in layout.items() if source == "github" or them.keys() & {"ledger", "erp"}]


def expected(source: str, layout: Layout) -> set[str]:
    """Return the destinations that an event of *source* is for."""
    return {name for of in groups_of(source, layout) for name in layout[of]}


def flat(layout: Layout, *, narrow: bool = False) -> dict[str, Any]:
    """Return the configuration of *layout*.

    Args:
        narrow: Whether no route takes what the one source sends, and of one the other has it can't be told.
    """
    routes = {source: [route(*groups_of(source, layout), how=DELAYED)] for source in SOURCES}
    if narrow:
        first, *others = layout
        untold = [route(*others, name="routes[0]", when="starts_with(body.ref, 'v')")] if others else []
        routes = {"github": [route(first), *untold], "stripe": [route(first, event_types=["never"])]}
    kinds = {name: (of, kind) for of, them in layout.items() for name, kind in them.items()}
    return {
        "name": "relay",
        "retention_days": 365,
        "sources": {
            name: {"scheme": name, "row": built_in_schemes()[name].row(), "routes": them}
            for name, them in routes.items()
        },
        "url_groups": {name: group(*them) for name, them in layout.items()},
        "destinations": {name: _destination(of, name, kind) for name, (of, kind) in kinds.items()},
    }


def _destination(of: str, name: str, kind: Kind) -> dict[str, Any]:
    match kind:
        case Kind.AWS:
            return bus(of, name)
        case Kind.OTHER_URL:
            return url(of, OTHER_URLS[name])
        case Kind.HEADERS:
            return url(of, URLS[name], **{"X-Team": name})
    return url(of, URLS[name])


# -- changes ----------------------------------------------------------------------------------------------------------


def _found(layout: Layout) -> tuple[str, str]:
    """Return the URL group of the destination that changes, and its name."""
    wanted = next((it for it in ("erp", "ledger", "builder") if any(it in them for them in layout.values())), "crm")
    return next(of for of, them in layout.items() if wanted in them), wanted


def _without(layout: Layout, name: str) -> Layout:
    left = {of: {it: kind for it, kind in them.items() if it != name} for of, them in layout.items()}
    return {of: them for of, them in left.items() if them}


def _with(layout: Layout, of: str, name: str, kind: Kind) -> Layout:
    return {**layout, of: {**layout.get(of, {}), name: kind}}


def _to(layout: Layout, other: Callable[[str], str]) -> Layout:
    of, name = _found(layout)
    return _with(_without(layout, name), other(of), name, layout[of][name])


def rename(layout: Layout) -> Layout:
    """Give the URL group of a destination another name."""
    old, _ = _found(layout)
    return {f"{of}2" if of == old else of: them for of, them in layout.items()}


def move(layout: Layout) -> Layout:
    """Have a destination be in another URL group, if there is one."""
    return _to(layout, lambda old: next((it for it in reversed(layout) if it != old), old))


def split(layout: Layout) -> Layout:
    """Have a destination be in a URL group of its own."""
    return _to(layout, lambda old: f"{old}-split")


def merge(layout: Layout) -> Layout:
    """Have all destinations be in one URL group."""
    return {next(iter(layout)): {name: kind for them in layout.values() for name, kind in them.items()}}


def _turn(layout: Layout, kind: Kind) -> Layout:
    of, name = _found(layout)
    return _with(layout, of, name, Kind.URL if layout[of][name] is kind else kind)


def other_url(layout: Layout) -> Layout:
    """Have a destination be at another URL, or at its first one again."""
    return _turn(layout, Kind.OTHER_URL)


def own_headers(layout: Layout) -> Layout:
    """Have a destination get headers of its own, or none any more."""
    return _turn(layout, Kind.HEADERS)


def other_target(layout: Layout) -> Layout:
    """Have a destination be an AWS target, or a URL again."""
    return _turn(layout, Kind.AWS)


def remove(layout: Layout) -> Layout:
    """Have a destination be gone, if it isn't the last one."""
    return _without(layout, _found(layout)[1]) if len(_all(layout)) > 1 else layout


def add(layout: Layout) -> Layout:
    """Have a destination come back that is gone, or a new one come."""
    name = next((it for it in ("erp", "ledger", "builder", "crm") if it not in _all(layout)), None)
    return layout if name is None else _with(layout, next(iter(layout)), name, Kind.URL)


def _all(layout: Layout) -> set[str]:
    return {name for them in layout.values() for name in them}


CHANGES = (rename, move, split, merge, other_url, own_headers, other_target, remove, add)
