"""`cdk synth|diff|deploy|destroy`: reads relay.toml (or `--context config=FILE`) and makes the stack of it."""

from __future__ import annotations

import os
import re
import sys
from contextlib import ExitStack
from pathlib import Path

# The CDK's banners about the age of Node would hide what matters, and `relay check --account` tells of it in a line.
os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "20")
os.environ.setdefault("JSII_SILENCE_WARNING_DEPRECATED_NODE_VERSION", "1")
os.environ.setdefault("JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION", "1")

from typing import TYPE_CHECKING

import aws_cdk as cdk  # reads the environment above when it starts Node

from infra.config.flatten import flatten, needs_public_keys
from infra.config.load import load
from infra.config.mistakes import ConfigError
from infra.local.aws.differences import LocalAws, apply
from infra.stack import asset
from infra.stack.stack import RelayStack
from relay.reconciliation.github import DEFAULT_URL

if TYPE_CHECKING:
    from infra.config.models import Config


def main() -> None:
    """Make the stack of relay.toml; a mistake in the file ends the run with status 1, before anything is made."""
    app = cdk.App()
    try:
        local = _local(app)
        file = Path(app.node.try_get_context("config") or "relay.toml")
        config = load(file, allow_local=local is not None)
        for warning in config.warnings:
            print(f"warning: {warning.at(file)}", file=sys.stderr)
        relay_stack(app, config, local=local, github_api_url=_github_api_url(), take_over=_takes_over(app))
    except (ConfigError, asset.AssetError) as error:
        sys.exit(str(error))
    app.synth()


def _local(app: cdk.App) -> LocalAws | None:
    try:
        return LocalAws.of(app.node.try_get_context("local"))
    except ValueError as error:
        sys.exit(str(error))


def _takes_over(app: cdk.App) -> bool:
    """Tell whether a first deploy is to take over what QStash holds of the relay's name: `make deploy TAKE_OVER=1`."""
    given = app.node.try_get_context("take_over")
    if given not in (None, "1"):
        sys.exit(f"take_over is {given}: set it to 1, as `make deploy TAKE_OVER=1` does, or leave it out")
    return given is not None


def _github_api_url() -> str | None:
    """Return where GitHub's API is, as GitHub's own tools are told; a token goes there, so never in the clear."""
    given = os.environ.get("GITHUB_API_URL")
    if given and not re.fullmatch(r"https://[^/@\s]+(/[^@\s]*)?|http://127\.0\.0\.1:\d+", given):
        sys.exit(f"GITHUB_API_URL is {given}: set it to a URL like https://HOST/api/v3, or unset it")
    return given


def relay_stack(
    app: cdk.App,
    config: Config,
    *,
    local: LocalAws | None = None,
    github_api_url: str | None = None,
    take_over: bool = False,
) -> RelayStack:
    """Return the stack of *config* in *app*: for AWS, or for the local AWS *local*.

    Args:
        github_api_url: As GitHub's own tools have it in GITHUB_API_URL; that of github.com changes nothing.
        take_over: Whether a first deploy takes over what QStash holds of the relay's name.

    Raises:
        AssetError: What the functions import can't be installed.
    """
    flat = flatten(config)
    github = None if github_api_url == DEFAULT_URL else github_api_url
    with ExitStack() as built:
        code = built.enter_context(asset.built(flat, bundled=local is None))
        if local is None:
            more = (asset.LOCK, asset.PUBLIC_KEYS_LOCK)
            ingest = built.enter_context(asset.built(flat, locks=more)) if needs_public_keys(flat) else None
            return RelayStack(
                app,
                config=config,
                code=code,
                ingest_code=ingest,
                github_api_url=github,
                take_over=take_over,
            )
        stack = RelayStack(
            app,
            config=config,
            code=code,
            base_url=local.base_url,
            github_api_url=github,
            take_over=take_over,
            synthesizer=local.synthesizer(),
        )
    apply(stack, local)
    return stack


if __name__ == "__main__":
    main()
