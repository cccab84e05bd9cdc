"""Checks between the tables of a relay.toml: URL groups, destinations, schemes and secrets.

The models find the mistakes within one table.  `source_checks` and `publish_checks` have the checks of sources and of
publishing.  Each check gets the tables without the settings that the models refused, so that `relay check` tells all
mistakes at once.  Which names there are is read from the file itself: a table with a mistake in it has its name, too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from infra.config import publish_checks, schemes, source_checks, urls
from infra.config.mistakes import dotted, walked
from infra.config.schemes import built_in_schemes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.config.mistakes import Wrong
    from infra.config.models import Config


def mistakes(config: Config, raw: Mapping[str, Any]) -> Iterator[Wrong]:
    """Yield the mistakes that keep the file from being deployed.

    Args:
        config: The part of the file that its models take.
        raw: The whole file.
    """
    yield from source_checks.mistakes(config, raw)
    yield from publish_checks.mistakes(config, raw)
    yield from _groups(config, raw)
    yield from _places(config)
    yield from _schemes(config)
    yield from _secrets(raw)


def warnings(config: Config) -> Iterator[Wrong]:
    """Yield the settings that can be deployed, and are likely to be meant otherwise."""
    yield from source_checks.warnings(config)
    yield from publish_checks.warnings(config)


def _groups(config: Config, raw: Mapping[str, Any]) -> Iterator[Wrong]:
    """A URL group has a destination, and a destination's name is in one group only."""
    owners: dict[str, str] = {}
    for group in config.url_groups:
        at = f"url_groups.{group}.destinations"
        members = raw["url_groups"][group].get("destinations")
        if members is None:
            yield at, "is missing: a URL group needs a destination"
        elif members == {}:
            yield at, "is empty: a URL group needs a destination"
        for name in members if isinstance(members, dict) else ():
            owner = owners.setdefault(name, group)
            if owner != group:
                yield f"{at}.{name}", f"'{name}' is also in URL group '{owner}': give one of both another name"


def _places(config: Config) -> Iterator[Wrong]:
    """A destination is one place.  No other of its URL group has its URL, and no other writes over its objects."""
    keys: dict[tuple[str, str], str] = {}  # (bucket, prefix of its keys) -> destination
    for group, members in config.url_groups.items():
        urls_of: dict[str, str] = {}
        for name, destination in members.destinations.items():
            at = f"url_groups.{group}.destinations.{name}"
            yield from destination.mistakes(at)
            if destination.url and (twin := urls_of.setdefault(destination.url, name)) != name:
                yield f"{at}.url", f"is also the URL of '{twin}', which would get each event twice: take one out"
            bucket, prefix = destination.setting("s3"), destination.setting("prefix") or ""
            if bucket and (twin := keys.setdefault((bucket, prefix), name)) != name:
                yield f"{at}.s3", f"would overwrite the objects of '{twin}' in this bucket: set another prefix"


def _schemes(config: Config) -> Iterator[Wrong]:
    """A scheme of the file has no built-in scheme's name, and proves who sent a request."""
    for name, scheme in config.schemes.items():
        if name in built_in_schemes():
            yield f"schemes.{name}", f"'{name}' is built in: choose another name, and use it as the source's scheme"
        for key, words in schemes.mistakes(scheme.row()):
            yield f"schemes.{name}.{key}", words


def _secrets(raw: Mapping[str, Any]) -> Iterator[Wrong]:
    """No setting holds a secret: the file, the stack and QStash keep it in the clear."""
    for steps, value in walked(raw):
        if not isinstance(value, str):
            continue
        if steps[0] == "url_groups" and steps[-2:-1] == ("headers",) and urls.secret_header(str(steps[-1])):
            yield (
                dotted(steps),
                'would store a secret in the clear: say { secret = "NAME" } instead',
            )
        elif urls.secret_text(value):
            yield dotted(steps), "looks like a secret, which would be stored in the clear: take it out"


def in_comments(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file's *text* whose comments hold a secret, and what to do."""
    for number, line in enumerate(text.splitlines(), 1):
        comment = re.search(r"(^|\s)#.*", line)
        if comment and urls.secret_text(comment[0]):
            yield (
                number,
                "has a comment that holds what looks like a secret: take it out, and have it replaced",
            )
