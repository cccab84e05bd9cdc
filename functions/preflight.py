"""The custom resource at the start of a deploy (`relay.deployment.preflight`): it fails before anything is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relay.deployment.custom_resource import telling
from relay.deployment.preflight import check_names, check_token, is_first, token_and_url
from relay.qstash.client import QStash
from relay.qstash.http import QStashHttp
from relay.runtime import deadline
from relay.runtime.http_api import logger
from relay.runtime.retrying import with_retries
from relay.runtime.secrets import Secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

MARGIN_S = 10.0  # to tell CloudFormation the outcome
PHYSICAL_ID = "preflight"  # always the same, so that CloudFormation never replaces the resource


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Check that the deploy of the relay `ResourceProperties.Relay` can succeed; a delete does nothing.

    `Secret` is the name of the secret with QStash's token.  With `TakeOver` 1, a first deploy may find resources of the
    relay's name in QStash.
    """
    if event["RequestType"] == "Delete":
        return {"PhysicalResourceId": event["PhysicalResourceId"]}
    with deadline.within(deadline.of(context, MARGIN_S)), telling(context):
        _check(event)
    return {"PhysicalResourceId": PHYSICAL_ID}


def _check(event: Mapping[str, Any]) -> None:
    said, secrets = event["ResourceProperties"], Secrets()
    token, url = with_retries(lambda: token_and_url(secrets, said["Secret"], said["Relay"]))
    qstash = check_token(lambda where: QStash(QStashHttp(token, where)), url, said["Relay"])
    makes_it = event["RequestType"] == "Create" and with_retries(lambda: is_first(event["StackId"]))
    logger.info("preflight", extra={"url": url, "first": makes_it})
    if makes_it and said.get("TakeOver") != "1":
        check_names(qstash, said["Relay"])
