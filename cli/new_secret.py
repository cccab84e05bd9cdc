"""`relay secret set`: reads a secret from a person, checks it, and stores it.

Each function returns the name of the secret in Secrets Manager, the number of its values, and whether anything changed.
No message has a secret's value in it.
"""

from __future__ import annotations

from contextlib import suppress
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from cli import schemes
from cli.client.typed_secret import check_token, typed_secret
from cli.terminal.options import CommandError, note
from relay.config import secret_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cli.client.qstash_token import TokenProblem


def set_qstash_token(relay: str, given_url: str | None, *, force: bool) -> tuple[str, int, bool]:
    """Read QStash's token, test it and store it.

    Args:
        given_url: QStash's URL; None: the stored URL, otherwise the EU region's.
        force: Store the token even if QStash refuses it or doesn't answer.
    """
    from cli.client import qstash_token, secrets
    from relay.qstash import regions

    url = None if given_url is None else qstash_token.url_of(given_url)
    value = typed_secret("QStash token", parts=False)
    qstash_token.check_form(value)
    check_token(value, "QStash")
    stored_url = secrets.qstash(relay)[1]
    problem = qstash_token.problem_of(value, url or stored_url or regions.REGIONS["EU"])
    if problem is not None and not force:
        raise CommandError(f"{problem.found}: {_advice(problem)}")
    if problem is not None:
        note(f"note: {problem.found}; the token is stored all the same")
    if url is None and stored_url is not None:
        note(f"note: the URL of QStash stays {stored_url}; --url {regions.REGIONS['EU']} restores the default")
    new_url = "" if url == regions.REGIONS["EU"] else url
    return secret_names.qstash(relay), 1, secrets.set_qstash(relay, value, new_url)


def _advice(problem: TokenProblem) -> str:
    from relay.qstash import regions

    if problem.region is not None:
        return f"add --url {regions.REGIONS[problem.region]}"
    if problem.is_refusal:
        return "copy QSTASH_TOKEN from QStash's console once more, of the region of --url"
    return "check the network, HTTPS_PROXY and --url, or store the token untested with --force"


def set_github_token(relay: str) -> tuple[str, int, bool]:
    """Read a token for GitHub's API and store it."""
    value = typed_secret("GitHub token", parts=False)
    check_token(value, "GitHub")
    from cli.client import secrets

    return secret_names.github(relay), 1, secrets.set_github(relay, value)


def set_destination_secret(relay: str, name: str) -> tuple[str, int, bool]:
    """Read the secret *name* (`destination:NAME`) of destinations' headers and store it."""
    value = typed_secret(f"The secret {name}", parts=False)
    if not value.isascii():
        raise CommandError("the secret has characters that no header can carry: copy it again")
    from cli.client import destination_secrets
    from cli.client.api import deployed_config

    changed = destination_secrets.put(relay, name, value)
    config: Mapping[str, Any] | None = None
    with suppress(CommandError):  # the secret is stored; `relay doctor` reports the error
        config = deployed_config(relay)
    if config is not None and name not in destination_secrets.names_in(config):
        note(f"note: no destination of the deployed relay {relay} names {name} yet")
    return secret_names.destinations(relay), 1, changed


def set_signing_secret(relay: str, source: str, *, replace: bool, force: bool) -> tuple[str, int, bool]:
    """Read a signing secret of *source* and store it beside the earlier ones.

    Args:
        replace: Delete the earlier ones.
        force: Check neither the source's name nor the secret's form.
    """
    from cli.client.api import deployed_config

    sources: Mapping[str, Any] | None = None
    problem = None
    try:
        config = deployed_config(relay)
        sources = None if config is None else config["sources"]
    except CommandError as error:
        problem = error.message
    if sources is not None:
        _check_is_no_schedule(source, sources)
    if sources is not None and not force:
        _check_name(relay, source, sources)
    value = typed_secret(f"Signing secret of {source}", parts=True)
    if sources is not None and not force:
        _check_form(source, value, sources)
    from cli.client import secrets
    from cli.terminal.tables import age_text

    count, changed, dropped = secrets.add_signing_secret(relay, source, value, replace=replace)
    for time in dropped:
        most = f"{source} has at most {secrets.VALUES_MAX} signing secrets"
        note(f"note: {most}: the oldest, set {age_text(time)} ago, is dropped, and its signatures are refused")
    if problem is not None:
        note(f"note: the secret isn't checked, because the deployed configuration can't be read: {problem}")
    if sources is not None and source not in sources:
        note(f"note: the deployed relay {relay} has no source {source} yet")
    return secret_names.sources(relay), count, changed


def _check_name(relay: str, source: str, sources: Mapping[str, Any]) -> None:
    """Raise `CommandError` if *source* isn't deployed and its name is close to one that is."""
    near = [] if source in sources else get_close_matches(source, sources, 1)
    if near:
        raise CommandError(
            f"the deployed relay {relay} has no source {source}: did you mean {near[0]}? If {source} is yet to be"
            " deployed, add --force"
        )


def _check_is_no_schedule(source: str, sources: Mapping[str, Any]) -> None:
    if sources.get(source, {}).get("schedule"):
        raise CommandError(
            f"{source} is a schedule: QStash alone posts to it, and signs with its own keys, which the relay reads by"
            " itself: there is no secret to set"
        )


def _check_form(source: str, value: str, sources: Mapping[str, Any]) -> None:
    """Raise `CommandError` if the scheme of *source* can't use *value*."""
    problem = schemes.problem_of(value, sources[source].get("row")) if source in sources else None
    if problem is not None:
        raise CommandError(
            f"the secret can't be used with the scheme of {source}: {problem} (docs/schemes.md, What a secret looks"
            " like): copy it again, or store it anyway with --force"
        )
