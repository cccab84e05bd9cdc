"""How the functions of custom resources fail: CloudFormation shows the reason and the right log group.

The CDK's provider framework stands between, and names a log group that doesn't exist, since the functions' log groups
have no fixed names.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from relay.errors import Defect, RelayError
from relay.runtime.http_api import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def telling(context: Any) -> Iterator[None]:
    """Add the log group of the Lambda *context* to every error that leaves this block.

    Raises:
        RelayError: The error; a defect of the relay's own code as `Defect`.
    """
    group = getattr(context, "log_group_name", None)
    where = f"\nLog group: {group}" if group else ""
    try:
        yield
    except RelayError as error:
        logger.warning("failed", extra={"reason": str(error)})
        error.args = (f"{error}{where}",)
        raise
    except Exception as error:
        logger.exception("failed")
        defect = Defect(error)
        defect.args = (f"{defect}{where}",)
        raise defect from error


def done_or_told(do: Callable[[], object], otherwise: str, **details: object) -> bool:
    """Call *do*; log *otherwise* if it fails in any way; tell whether it succeeded.

    A delete must not fail: it would keep its owner from leaving, or a deploy from its end, for good.
    """
    try:
        do()
    except Exception as error:  # noqa: BLE001  # not even a defect may fail a delete
        reason = str(error if isinstance(error, RelayError) else Defect(error))
        logger.warning(otherwise, extra={"reason": reason, **details})
        return False
    return True
