"""Removes variables for the real AWS, QStash and relay from the environment.

The demo and the tests run on this machine alone, whatever the environment of their user says.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIXES = (
    *("AWS_", "BOTO_", "CDK_", "JSII_", "GITHUB_API_URL", "LOG_LEVEL", "NODE_OPTIONS", "POWERTOOLS_", "QSTASH_"),
    *("RELAY_", "UPSTASH_", "FORCE_COLOR", "CLICOLOR_FORCE"),
)
LOOPBACK = "127.0.0.1,localhost,::1"
_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy")
_NO_FILES = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
_NO_METADATA = {"AWS_EC2_METADATA_DISABLED": "true"}


def without(environ: Mapping[str, str]) -> dict[str, str]:
    """Return *environ* without variables for the real services, Node's options and forced colours.

    AWS's files in the user's home aren't read either.  A proxy for https stays, since packages may come through it, but
    addresses of this machine are exempt from it.
    """
    kept = {name: value for name, value in environ.items() if not name.startswith(PREFIXES) and name not in _PROXIES}
    for_https = [environ.get(name, "") for name in _PROXIES if name.upper() != "HTTP_PROXY"]
    proxies = [it for it in for_https if it.startswith(("http://", "https://"))]
    proxy = {"HTTPS_PROXY": proxies[0]} if proxies else {}
    return {**kept, **proxy, **_NO_FILES, **_NO_METADATA, "NO_PROXY": LOOPBACK, "no_proxy": LOOPBACK}


def shut_out() -> dict[str, str]:
    """Apply `without` to this process's environment, which its children inherit; return the environment before."""
    before = dict(os.environ)
    after = without(before)
    for name in before.keys() - after.keys():
        del os.environ[name]
    os.environ.update(after)
    return before
