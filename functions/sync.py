"""The custom resource that makes QStash's URL groups match the configuration; see `relay.groups`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relay import groups, sweep
from relay.errors import OperatorError, QStashError
from relay.gateway import logger
from relay.wiring import relay

if TYPE_CHECKING:
    from collections.abc import Mapping


def handler(event: Mapping[str, Any], _: Any) -> dict[str, Any]:
    """Create, update or delete the state in `ResourceProperties.Desired`; return its physical id."""
    it = relay("RELAY_QSTASH_SECRET")
    logger.info("sync", extra={"request": event["RequestType"], "state": event.get("PhysicalResourceId")})
    if event["RequestType"] == "Delete":
        return _delete(event["PhysicalResourceId"])
    sweep.refresh_keys(it.store, it.qstash)
    state = groups.add(event["ResourceProperties"]["Desired"], qstash=it.qstash, store=it.store)
    return {"PhysicalResourceId": state}


def _delete(state: str) -> dict[str, Any]:
    """Remove what is ours; without a token that QStash takes, nothing can be, and nobody is kept from leaving."""
    it = relay("RELAY_QSTASH_SECRET")
    try:
        groups.remove(state, it.settings.name, qstash=it.qstash, store=it.store)
    except (OperatorError, QStashError) as error:
        if isinstance(error, QStashError) and error.answered not in {401, 403}:
            raise
        logger.warning("nothing removed from QStash", extra={"reason": str(error)})
    return {"PhysicalResourceId": state}
