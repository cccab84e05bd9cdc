"""The relay's tokens and signing secrets in Secrets Manager.

`{relay}/qstash` is `{"token": …, "url": … (optional)}`, `{relay}/github` is `{"token": …}`.  `{relay}/sources` has for
each source a list of `{"value": …, "created_at": ISO 8601}`, newest first: the old and the new value are valid together
during a rotation.  No error and no output has a value in it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cli.client.secret_object import answer_of, change_object, object_in, read_object
from cli.terminal.options import CommandError
from relay.config import secret_names

DESCRIPTION = "Signing secrets of sources"
VALUES_MAX = 5  # of a source: the new one, the present one, and a few set by mistake between them

Times = list[datetime | None]  # when each value of a secret was set, newest first; None: not known


def qstash(relay: str) -> tuple[str | None, str | None]:
    """Return QStash's token and URL; each is None if not stored."""
    name = secret_names.qstash(relay)
    stored = read_object(name) or {}
    return _text_of(name, stored, "token"), _text_of(name, stored, "url")


def qstash_times(relay: str) -> Times:
    """Return the time at which QStash's token was set; [] if there is none.

    Raises:
        Denied: The caller may not read the secret.
    """
    return _token_times(secret_names.qstash(relay))


def github_times(relay: str) -> Times:
    """Return the time at which the token for GitHub's API was set; [] if there is none.

    Raises:
        Denied: The caller may not read the secret.
    """
    return _token_times(secret_names.github(relay))


def _token_times(name: str) -> Times:
    answer = answer_of(name)
    if answer is None or _text_of(name, object_in(name, answer), "token") is None:
        return []
    return [answer["CreatedDate"].astimezone(UTC)]


def set_qstash(relay: str, token: str, url: str | None) -> bool:
    """Store *token* and *url*; return whether anything changed.

    Args:
        url: QStash's URL; "": delete the stored one; None: leave it.
    """

    def change(stored: dict[str, Any]) -> dict[str, Any]:
        others = stored if url is None else {key: it for key, it in stored.items() if key != "url"}
        return {**others, "token": token} | ({"url": url} if url else {})

    return change_object(secret_names.qstash(relay), change, "QStash's token, for the relay")


def github(relay: str) -> str | None:
    """Return the token for GitHub's API; None if there is none."""
    name = secret_names.github(relay)
    return _text_of(name, read_object(name) or {}, "token")


def set_github(relay: str, token: str) -> bool:
    """Store *token* for GitHub's API; return whether anything changed."""
    return change_object(
        secret_names.github(relay), lambda stored: {**stored, "token": token}, "A token for GitHub's API, for the relay"
    )


def signing_secrets(relay: str, source: str) -> list[str]:
    """Return the signing secrets of *source*, newest first."""
    return [it["value"] for it in _values_of(relay, read_object(secret_names.sources(relay)) or {}, source)]


def all_signing_secrets(relay: str) -> dict[str, list[str]]:
    """Return the signing secrets of each source, newest first.

    Raises:
        Denied: The caller may not read the secret.
    """
    stored = read_object(secret_names.sources(relay)) or {}
    return {source: [it["value"] for it in _values_of(relay, stored, source)] for source in stored}


def source_times(relay: str) -> dict[str, Times]:
    """Return the times at which the signing secrets of each source were set, newest first.

    Raises:
        Denied: The caller may not read the secret.
    """
    stored = read_object(secret_names.sources(relay)) or {}
    return {source: [_time_of(it) for it in _values_of(relay, stored, source)] for source in stored}


def counts(relay: str) -> dict[str, int]:
    """Return the number of signing secrets of each source.

    Raises:
        Denied: The caller may not read the secret.
    """
    return {source: len(times) for source, times in source_times(relay).items()}


def add_signing_secret(relay: str, source: str, value: str, *, replace: bool) -> tuple[int, bool, Times]:
    """Make *value* the newest signing secret of *source*.

    Args:
        replace: Delete the earlier ones; otherwise the newest stay, `VALUES_MAX` in all.

    Returns:
        The number of values now, whether anything changed, and the times at which the dropped values were set.
    """
    new = {"value": value, "created_at": datetime.now(UTC).isoformat(timespec="seconds")}
    values: list[dict[str, str]] = []
    dropped: list[dict[str, str]] = []

    def change(stored: dict[str, Any]) -> dict[str, Any]:
        before = _values_of(relay, stored, source)
        newest = next((it for it in before if it["value"] == value), new)
        others = [it for it in before if it["value"] != value]
        values[:] = [newest] if replace else [newest, *others][:VALUES_MAX]
        dropped[:] = [] if replace else others[VALUES_MAX - 1 :]
        return {**stored, source: list(values)}

    changed = change_object(secret_names.sources(relay), change, DESCRIPTION)
    return len(values), changed, [_time_of(it) for it in dropped]


def retire(relay: str, source: str, *, everything: bool) -> tuple[int, Times]:
    """Delete the signing secrets of *source* except the newest, or *everything*.

    Returns:
        The number of deleted values, and the times at which the remaining ones were set.

    Raises:
        CommandError: The source has no signing secret, or only the newest and *everything* is false.
    """
    name = secret_names.sources(relay)
    before: list[dict[str, str]] = []
    left: list[dict[str, str]] = []

    def change(stored: dict[str, Any]) -> dict[str, Any]:
        before[:] = _values_of(relay, stored, source)
        if not before:
            raise CommandError(f"{source} has no signing secret in {name}: run `relay secret list`")
        if len(before) == 1 and not everything:
            raise CommandError(
                f"{source} has only one signing secret, and its webhooks are refused without one: set the next with"
                f" `relay secret set {source}` first, or delete this one with --all"
            )
        left[:] = [] if everything else before[:1]
        others = {key: value for key, value in stored.items() if key != source}
        return {**stored, source: list(left)} if left else others

    change_object(name, change, DESCRIPTION)
    return len(before) - len(left), [_time_of(it) for it in left]


def _values_of(relay: str, stored: dict[str, Any], source: str) -> list[dict[str, str]]:
    values = stored.get(source, [])
    if not isinstance(values, list) or not all(isinstance(it, dict) and _is_text(it.get("value")) for it in values):
        secret = secret_names.sources(relay)
        raise CommandError(f"the secret {secret} has no list of values for {source}: fix it in Secrets Manager")
    return values


def _time_of(entry: dict[str, str]) -> datetime | None:
    try:
        moment = datetime.fromisoformat(entry["created_at"])
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None  # a value written by hand


def _text_of(name: str, stored: dict[str, Any], key: str) -> str | None:
    value = stored.get(key)
    if value is not None and not _is_text(value):
        raise CommandError(f"the secret {name} has no text as its {key}: fix it in Secrets Manager")
    return value


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""
