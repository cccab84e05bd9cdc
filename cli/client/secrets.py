"""The relay's secrets in Secrets Manager: their names, their JSON, their form and size, and rotation that overlaps.

`{relay}/qstash` is `{"token": …, "url": … (optional)}`, `{relay}/github` is `{"token": …}`.  `{relay}/sources` is, by
source, a list of `{"value": …, "created_at": ISO 8601}`, newest first.  No error, and nothing printed, has a value in
it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cli.client.kept import answer_of, change_object, object_in, read_object
from cli.terminal.options import Failure
from relay.config import secret_names

DESCRIPTION = "Signing secrets of sources"
VALUES_MAX = 5  # of a source: a new one, the one it still signs with, and a few set by mistake between them

Times = list[datetime | None]  # when each value of a secret was set, newest first; None where that isn't known


def qstash(relay: str) -> tuple[str | None, str | None]:
    """Return QStash's token and URL, each None where there is none."""
    name = secret_names.qstash(relay)
    held = read_object(name) or {}
    return _text_of(name, held, "token"), _text_of(name, held, "url")


def qstash_times(relay: str) -> Times:
    """Return when QStash's token was set; [] where there is none.

    Raises:
        Denied: The caller may not read it.
    """
    return _token_times(secret_names.qstash(relay))


def github_times(relay: str) -> Times:
    """Return when the token for GitHub's API was set; [] where there is none.

    Raises:
        Denied: The caller may not read it.
    """
    return _token_times(secret_names.github(relay))


def _token_times(name: str) -> Times:
    answer = answer_of(name)
    if answer is None or _text_of(name, object_in(name, answer), "token") is None:
        return []
    return [answer["CreatedDate"].astimezone(UTC)]


def set_qstash(relay: str, token: str, url: str | None) -> bool:
    """Keep *token*, and *url* ("": none; None: the one before); tell whether that changed anything."""

    def change(held: dict[str, Any]) -> dict[str, Any]:
        others = held if url is None else {key: it for key, it in held.items() if key != "url"}
        return {**others, "token": token} | ({"url": url} if url else {})

    return change_object(secret_names.qstash(relay), change, "QStash's token, for the relay")


def github(relay: str) -> str | None:
    """Return the token for GitHub's API; None where there is none."""
    name = secret_names.github(relay)
    return _text_of(name, read_object(name) or {}, "token")


def set_github(relay: str, token: str) -> bool:
    """Keep *token* for GitHub's API; tell whether that changed anything."""
    return change_object(
        secret_names.github(relay), lambda held: {**held, "token": token}, "A token for GitHub's API, for the relay"
    )


def signing_secrets(relay: str, source: str) -> list[str]:
    """Return the signing secrets of *source*, newest first."""
    return [it["value"] for it in _of_source(relay, read_object(secret_names.sources(relay)) or {}, source)]


def all_signing_secrets(relay: str) -> dict[str, list[str]]:
    """Return the signing secrets of each source, newest first.

    Raises:
        Denied: The caller may not read them.
    """
    held = read_object(secret_names.sources(relay)) or {}
    return {source: [it["value"] for it in _of_source(relay, held, source)] for source in held}


def source_times(relay: str) -> dict[str, Times]:
    """Return when the signing secrets of each source were set, newest first.

    Raises:
        Denied: The caller may not read them.
    """
    held = read_object(secret_names.sources(relay)) or {}
    return {source: [_time_of(it) for it in _of_source(relay, held, source)] for source in held}


def counts(relay: str) -> dict[str, int]:
    """Return how many signing secrets each source has.

    Raises:
        Denied: The caller may not read them.
    """
    return {source: len(times) for source, times in source_times(relay).items()}


def add_signing_secret(relay: str, source: str, value: str, *, replace: bool) -> tuple[int, bool, Times]:
    """Make *value* the newest signing secret of *source*; keep those before unless *replace*, `VALUES_MAX` in all.

    Returns:
        How many the source has now, whether anything changed, and when those were set that were one too many.
    """
    new = {"value": value, "created_at": datetime.now(UTC).isoformat(timespec="seconds")}
    kept: list[dict[str, str]] = []
    dropped: list[dict[str, str]] = []

    def change(held: dict[str, Any]) -> dict[str, Any]:
        before = _of_source(relay, held, source)
        newest = next((it for it in before if it["value"] == value), new)
        others = [it for it in before if it["value"] != value]
        kept[:] = [newest] if replace else [newest, *others][:VALUES_MAX]
        dropped[:] = [] if replace else others[VALUES_MAX - 1 :]
        return {**held, source: list(kept)}

    changed = change_object(secret_names.sources(relay), change, DESCRIPTION)
    return len(kept), changed, [_time_of(it) for it in dropped]


def retire(relay: str, source: str, *, everything: bool) -> tuple[int, Times]:
    """Take away the signing secrets of *source* but the newest, or that as well.

    Returns:
        How many were taken away, and when those that are left were set.

    Raises:
        Failure: It has none, or one that would have to stay.
    """
    name = secret_names.sources(relay)
    before: list[dict[str, str]] = []
    left: list[dict[str, str]] = []

    def change(held: dict[str, Any]) -> dict[str, Any]:
        before[:] = _of_source(relay, held, source)
        if not before:
            raise Failure(f"{source} has no signing secret in {name}: `relay secret list` shows which there are")
        if len(before) == 1 and not everything:
            raise Failure(
                f"{source} has only one signing secret, and without it what it sends is refused: set the next with"
                f" `relay secret set {source}` first, or take it away with --all"
            )
        left[:] = [] if everything else before[:1]
        others = {key: value for key, value in held.items() if key != source}
        return {**held, source: list(left)} if left else others

    change_object(name, change, DESCRIPTION)
    return len(before) - len(left), [_time_of(it) for it in left]


def _of_source(relay: str, held: dict[str, Any], source: str) -> list[dict[str, str]]:
    values = held.get(source, [])
    if not isinstance(values, list) or not all(isinstance(it, dict) and _is_text(it.get("value")) for it in values):
        secret = secret_names.sources(relay)
        raise Failure(f"the secret {secret} doesn't hold a list of values for {source}: mend it in Secrets Manager")
    return values


def _time_of(entry: dict[str, str]) -> datetime | None:
    try:
        moment = datetime.fromisoformat(entry["created_at"])
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None  # somebody made it by hand


def _text_of(name: str, held: dict[str, Any], key: str) -> str | None:
    value = held.get(key)
    if value is not None and not _is_text(value):
        raise Failure(f"the secret {name} has no text as its {key}: mend it in Secrets Manager")
    return value


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""
