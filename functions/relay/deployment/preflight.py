"""The verb of preflight: checks the usual causes of a failed first deploy before it makes anything that stays.

The table and the bucket outlive a failed deploy.  So the first deploy checks QStash's token, and that QStash holds
nothing of the relay's name yet, before it makes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from relay.concern import Concern
from relay.deployment.changes import PINS, refuse_others
from relay.deployment.states import BELONGING, actual
from relay.errors import OperatorError, QStashError
from relay.qstash.http import DEFAULT_URL
from relay.qstash.regions import command, other_regions
from relay.runtime import aws
from relay.runtime.retrying import with_retries

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.qstash.client import QStash
    from relay.runtime.secrets import Secrets


def token_and_url(secrets: Secrets, secret: str, relay: str) -> tuple[str, str]:
    """Return QStash's token and URL from the *secret* of the *relay*.

    Raises:
        OperatorError: The secret isn't set, or can't be used; the message says what to run.
        UpstreamError: Secrets Manager doesn't answer.
    """
    how = f"run `{command(relay)}`"
    held = secrets.read(secret)
    token, url = held.get("token"), held.get("url") or DEFAULT_URL
    if not held:
        raise OperatorError(f"there is no secret {secret} in this region: {how}, then deploy again")
    if not _is_token(token):
        raise OperatorError(f"the secret {secret} has no token that can be used: {how}, then deploy again")
    if not _is_url(url):
        raise OperatorError(f"the url in the secret {secret} is none of QStash's, like {DEFAULT_URL}: {how} --url URL")
    return str(token), str(url).rstrip("/")


def _is_token(token: object) -> bool:
    return isinstance(token, str) and token.isascii() and token.isprintable() and bool(token) and " " not in token


def _is_url(url: object) -> bool:
    """Tell whether *url* can be a QStash's: over https, or on this machine."""
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        return False
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in {"127.0.0.1", "localhost"})
    extra = parts.query or parts.fragment or parts.username is not None
    return is_safe and bool(parts.hostname) and port_is_right and not extra and not set(str(url)) & set(" \t\r\n")


def check_token(connect: Callable[[str], QStash], url: str, relay: str) -> QStash:
    """Return a client of QStash at *url*, once QStash has taken the token.

    Args:
        connect: Returns a client for a URL, with the token.

    Raises:
        OperatorError: QStash refuses the token; the message says whether the other region takes it.
        UpstreamError: QStash doesn't answer, or what answers isn't QStash.
    """
    qstash = connect(url)
    try:
        with_retries(qstash.resources.signing_keys)
    except QStashError as error:
        if not _is_refused(error):
            error.args = (f"{error} (asked at {url}: is QStash there, and up?)",)
            raise
        other = next((other for other in other_regions(url).values() if _takes(connect(other))), None)
        if other is not None:
            raise OperatorError(
                f"that token is of the other region: {command(relay, other)}, then deploy again"
            ) from error
        raise OperatorError(
            f"QStash at {url} refuses the token ({error.answered}): copy it from its console again, run"
            f" `{command(relay)}`, then deploy again"
        ) from error
    return qstash


def _is_refused(error: QStashError) -> bool:
    """Tell whether QStash refused for good; a QStash that doesn't know the account answers 404."""
    return error.answered is not None and error.concern is not Concern.MOMENT


def _takes(qstash: QStash) -> bool:
    try:
        qstash.resources.signing_keys()
    except QStashError:
        return False
    return True


def check_names(qstash: QStash, relay: str) -> None:
    """Raise if QStash holds anything of the *relay*'s name before its first deploy.

    Raises:
        OperatorError: QStash does.
        UpstreamError: QStash can't be read.
    """
    refuse_others({**with_retries(lambda: actual(qstash, relay, BELONGING)), PINS: {}}, relay)


def is_first(stack: str, client: Any = None) -> bool:
    """Tell whether the current deploy creates the *stack* (its id).

    A stack that was deployed before there was a preflight has its own things in QStash already.

    Raises:
        UpstreamError: CloudFormation doesn't answer.

    Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
    """
    with aws.speaking_to("CloudFormation"):
        found = (client or aws.client("cloudformation")).describe_stacks(StackName=stack)["Stacks"]
    return bool(found) and found[0]["StackStatus"] == "CREATE_IN_PROGRESS"
