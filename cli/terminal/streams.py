"""Standard streams that take whatever is written, and end quietly.

Hides what may be wrong with them: an encoding that lacks a character, a stream that is closed, a reader who has gone, a
disk that is full.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}


class _Ascii(io.TextIOWrapper):
    """A stream that says that it takes UTF-8, and replaces all that isn't ASCII.

    To a stream that says that it takes ASCII click writes UTF-8 all the same.
    """

    def write(self, text: str) -> int:
        """Write *text*, what isn't ASCII as `?`."""
        return super().write(text.encode("ascii", "replace").decode())


@contextmanager
def standing() -> Iterator[None]:
    """Have the standard streams take anything meanwhile; where output can't be written, end with status 1."""
    sys.stdin = sys.stdin or _nothing("r")
    sys.stdout, sys.stderr = _tolerant(sys.stdout), _tolerant(sys.stderr)
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        gone = error.errno == errno.EPIPE  # whoever read has had enough
        if not gone and error.errno not in _UNWRITABLE:
            raise
        sys.stdout = _nothing("w")  # else Python would try again, and complain, as it ends
        if not gone:
            with suppress(OSError):  # it may have been standard error
                print(f"error: the output can't be written: {error.strerror}", file=sys.stderr)
        sys.exit(1)


def _tolerant(stream: TextIO | None) -> TextIO:
    if stream is None:
        return _nothing("w")
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    if codecs.lookup(stream.encoding).name == "ascii":
        buffered = stream.line_buffering
        return _Ascii(stream.detach(), encoding="utf-8", errors="replace", line_buffering=buffered)
    stream.reconfigure(errors="replace")
    return stream


def _nothing(mode: Literal["r", "w"]) -> TextIO:
    return open(os.devnull, mode, encoding="utf-8")  # noqa: PTH123  # it stands until the process ends
