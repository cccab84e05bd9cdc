"""Standard streams that accept every character, and end quietly.

Handles encodings that lack a character, closed streams, readers who have gone, and full disks.
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
    """A stream that names UTF-8 as its encoding, and writes `?` for characters outside ASCII.

    click writes UTF-8 to a stream that names ASCII.
    """

    def write(self, text: str) -> int:
        """Write *text*, with `?` for characters outside ASCII."""
        return super().write(text.encode("ascii", "replace").decode())


@contextmanager
def tolerant_streams() -> Iterator[None]:
    """Make the standard streams accept every character meanwhile; exit with status 1 if output can't be written."""
    sys.stdin = sys.stdin or _null_device("r")
    sys.stdout, sys.stderr = _tolerant(sys.stdout), _tolerant(sys.stderr)
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        gone = error.errno == errno.EPIPE  # the reader closed the pipe
        if not gone and error.errno not in _UNWRITABLE:
            raise
        sys.stdout = _null_device("w")  # Python flushes the stream once more at its end, and would print an error
        if not gone:
            with suppress(OSError):  # standard error may be the broken stream
                print(f"error: the output can't be written: {error.strerror}", file=sys.stderr)
        sys.exit(1)


def _tolerant(stream: TextIO | None) -> TextIO:
    if stream is None:
        return _null_device("w")
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    if codecs.lookup(stream.encoding).name == "ascii":
        buffered = stream.line_buffering
        return _Ascii(stream.detach(), encoding="utf-8", errors="replace", line_buffering=buffered)
    stream.reconfigure(errors="replace")
    return stream


def _null_device(mode: Literal["r", "w"]) -> TextIO:
    return open(os.devnull, mode, encoding="utf-8")  # noqa: PTH123  # open until the process ends
