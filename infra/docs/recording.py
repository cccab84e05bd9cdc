"""Writes docs/demo.svg, the picture of `make demo` in the README, from a real run: `python -m infra.docs.recording`.

The demo runs in a pseudo-terminal, so that it is told in colour.  The picture is an excerpt of what it printed: without
the displays of progress, without the commands of `LEFT_OUT`, and with long lines cut.  All else is as it was printed.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import TYPE_CHECKING

from rich.ansi import AnsiDecoder
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.text import Text

CHECKOUT = Path(__file__).parents[2]
PICTURE = CHECKOUT / "docs" / "demo.svg"
DEMO = (sys.executable, "-m", "infra.local.demo")
ROWS, COLUMNS = 50, 150  # of the terminal that the demo runs in
SHOWN_COLUMNS = 108  # of the picture: it is read at the width of a page on GitHub
LEFT_OUT = ("$ relay event list", "$ relay event show")
_PROGRESS = re.compile(r"[\u2800-\u28ff] ")  # the spinners are of Braille
_SENTENCE = re.compile(r"[A-Z][a-z].*\.$")  # the demo's own words, not a command's output
# Rich's own format loads fonts from elsewhere.
_SVG = """\
<svg class="terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.terminal {{ font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }}
.{unique_id}-matrix {{ font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def recorded(command: Sequence[str] = DEMO) -> str:
    """Run *command* in a terminal; return what it printed, with its escape sequences.

    Raises:
        SystemExit: It failed.
    """
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    unset = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"}
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment["TERM"] = "xterm-256color"
    with subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdin=its, stdout=its, stderr=its) as running:  # noqa: S603
        os.close(its)
        with os.fdopen(ours, "rb") as terminal:
            printed = b"".join(_chunks(terminal)).decode()
        status = running.wait()
    if status != 0:
        raise SystemExit(f"{shlex.join(command)} ended with status {status}:\n{printed}")
    return printed


def _chunks(terminal: io.BufferedReader) -> Iterator[bytes]:
    """Yield what a terminal is written, until nobody has it open any more, which Linux tells as an error."""
    try:
        while chunk := terminal.read1():
            yield chunk
    except OSError:
        return


def lines(printed: str) -> list[Text]:
    """Return what stands on the screen in the end: of a line that was written over, the last."""
    decoder = AnsiDecoder()
    return [decoder.decode_line(line.rstrip("\r")) for line in printed.split("\n")]


def excerpt(printed: Iterable[Text]) -> list[Text]:
    """Return the lines of the picture, cut to its width; of several blank ones in a row the first."""
    kept: list[Text] = []
    left_out = False
    for line in printed:
        text = line.plain
        if text.startswith("$ ") or _SENTENCE.match(text):
            left_out = text.startswith(LEFT_OUT)
        is_second_blank = not text.strip() and (not kept or not kept[-1].plain.strip())
        if left_out or is_second_blank or _PROGRESS.match(text):
            continue
        shown = line.copy()
        shown.truncate(SHOWN_COLUMNS, overflow="ellipsis")
        kept.append(shown)
    while kept and not kept[-1].plain.strip():
        kept.pop()
    return kept


def picture(shown: Iterable[Text]) -> str:
    """Return *shown* as an SVG that needs no other file and no font of another host."""
    console = Console(
        record=True,
        width=SHOWN_COLUMNS,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        highlight=False,
    )
    for line in shown:
        console.print(line, soft_wrap=True)
    return console.export_svg(title="make demo", code_format=_SVG, unique_id="demo")


def main() -> None:
    """Record the demo, write the picture."""
    shown = excerpt(lines(recorded()))
    PICTURE.write_text(picture(shown), encoding="utf-8")
    print(f"{PICTURE.relative_to(CHECKOUT)}: {len(shown)} lines")


if __name__ == "__main__":
    main()
