"""Reads relay.toml, the file of one deployment.  Hides its syntax; the functions get `flatten`'s resolved JSON.

`load` checks everything before anything is built, and tells every mistake with its dotted path, its line, and what to
do.  No CDK here, so that `relay check` is fast.
"""

from __future__ import annotations

import copy
import re
import tomllib
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from infra.config import json_schema, lint, sizes
from infra.config.flatten import flatten
from infra.config.mistakes import ConfigError, Mistake, located, steps_of, told, walked
from infra.config.models import Config

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MAX_DEPTH = 50  # of tables in tables: no setting is as deep as ten


def load(path: Path, *, allow_local: bool = False) -> Config:
    """Return the configuration that the file at *path* holds.

    Args:
        path: A relay.toml.
        allow_local: Also take destinations on this machine, over http.

    Raises:
        ConfigError: Holds every mistake there is.
    """
    text, raw = _read(path)
    context = {"allow_local": allow_local}
    config, wrong = _sound(raw, context)
    known = {at for at, _ in wrong}
    wrong += [it for it in lint.mistakes(config, raw) if not any(_within(at, it[0]) for at in known)]
    found = located(wrong, text)
    found |= {Mistake("", line, words) for line, words in lint.in_comments(text)}
    if not found:
        too_large = sizes.mistakes(flatten(config), url=config.relay.url, emails=len(config.relay.alarm_emails))
        found = located(too_large, text)
    if found:
        raise ConfigError(path, found)
    config.warn(located(lint.warnings(config), text))
    return config


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with its mark
    except OSError as error:
        raise ConfigError(path, [Mistake("", None, f"can't be read: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise ConfigError(path, [Mistake("", None, "isn't UTF-8: save it as UTF-8")]) from None
    try:
        raw = tomllib.loads(text)
    except RecursionError:
        raw = None
    except ValueError as error:  # also of a number with too many digits
        line = re.search(r"at line (\d+)", str(error))
        at = int(line[1]) if line else len(text.splitlines())
        raise ConfigError(path, [Mistake("", at, f"isn't TOML: {error}")]) from None
    if raw is None or any(len(steps) > MAX_DEPTH for steps, _ in walked(raw)):
        raise ConfigError(
            path, [Mistake("", None, f"has tables over {MAX_DEPTH} deep in others, where no setting is: take them out")]
        )
    return text, raw


def _sound(raw: dict[str, Any], context: dict[str, bool]) -> tuple[Config, list[tuple[str, str]]]:
    """Return the part of *raw* that the models take, and the mistakes in the rest."""
    left, wrong = copy.deepcopy(raw), None
    while True:
        try:
            return Config.model_validate(left, context=context), wrong or []
        except ValidationError as error:
            wrong = told(error, json_schema.settings_of) if wrong is None else wrong
            found = error.errors(include_url=False, include_context=False, include_input=False)
            culprits = [_culprit(left, steps_of(it["loc"])[: -1 if it["type"] == "missing" else None]) for it in found]
            for table, key in culprits:
                table.pop(key, None)


def _culprit(table: Any, steps: Sequence[str | int]) -> tuple[dict[str, Any], str]:
    """Return the table, and the key in it, to take out so that the mistake at *steps* is gone.

    A setting of a list goes with all of it, since the others are known by their numbers.
    """
    found: list[tuple[dict[str, Any], str]] = []
    for step in steps:
        if isinstance(table, dict) and step in table:
            found.append((table, str(step)))
        elif not (isinstance(table, list) and isinstance(step, int)):
            break  # a text that was read as a table
        table = table[step]
    return found[-1]


def _within(inner: str, outer: str) -> bool:
    """Tell whether the setting at *inner* is that at *outer*, or a part of it."""
    return inner == outer or inner.startswith((f"{outer}.", f"{outer}["))
