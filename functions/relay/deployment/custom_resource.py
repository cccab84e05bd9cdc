"""What the functions of custom resources tell CloudFormation: why a deploy failed, and where the log is; or nothing.

The provider framework, which stands between, names a log group that isn't there: the functions' have no fixed names.
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
    """Let what fails within say where its log is, by the Lambda *context*; CloudFormation's events then do, too.

    Raises:
        RelayError: Whatever failed.
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
    """Do it, or say *otherwise* in the log, whatever fails; tell whether it was done.

    For a delete: one that fails keeps its owner from leaving, or a deploy from its end, for good.
    """
    try:
        do()
    except Exception as error:  # noqa: BLE001  # a defect of ours keeps nobody either
        reason = str(error if isinstance(error, RelayError) else Defect(error))
        logger.warning(otherwise, extra={"reason": reason, **details})
        return False
    return True
