"""`reconcile`: the webhooks on GitHub whose deliveries are compared with the ledger, as relay.toml names them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.config.mistakes import Wrong

SCHEME = "github"
_ACCOUNT = "[A-Za-z0-9][A-Za-z0-9_-]{0,99}"  # a user or an organization
_REPOSITORY = r"(?!\.\.?/)[A-Za-z0-9._-]{1,100}"
_HOOK = re.compile(rf"(repos/{_ACCOUNT}/{_REPOSITORY}|orgs/{_ACCOUNT})/hooks/[0-9]{{1,19}}")


def _hook(text: str) -> str:
    if not _HOOK.fullmatch(text):
        raise ValueError('must be a webhook on GitHub, like "repos/OWNER/REPO/hooks/123" or "orgs/ORG/hooks/123"')
    return text


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Hooks = Annotated[list[Annotated[str, AfterValidator(_hook)]], BeforeValidator(_listed)]
"""One hook's path in GitHub's API, or several."""


def mistakes(at: str, source: Mapping[str, Any], known: set[str]) -> Iterator[Wrong]:
    """Yield the mistakes in the hooks of a source's table.

    Args:
        at: The dotted path of the setting.
        known: The hooks of earlier sources, in lower case, as GitHub compares them; this source's are added.
    """
    named = _listed(source.get("reconcile"))
    if not isinstance(named, list):
        return
    if not named:
        yield at, "is empty: name the webhooks on GitHub, or take it out"
    if source.get("scheme") != SCHEME:
        yield at, f'goes with scheme = "{SCHEME}" alone: take it out'
    for hook in (it for it in named if isinstance(it, str)):
        if hook.lower() in known:
            yield at, f"'{hook}' is named twice, and a webhook on GitHub posts to one source: take one out"
        known.add(hook.lower())
