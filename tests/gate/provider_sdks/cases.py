"""Build every case: requests to a receiver, the same on every run.

``.venv-sdks/bin/python -m tests.gate.provider_sdks.cases`` prints them as JSON lines, sorted by id.  It runs where the
SDKs are: some sign, and private keys need ``cryptography``.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from tests.gate.provider_sdks import (
    asymmetric,
    certificates,
    dated,
    dated_in_body,
    forms,
    formulas,
    in_body,
    labelled,
    one_header,
    standard,
    tokens,
    urls,
)
from tests.gate.provider_sdks.families import OPEN, Book

MODULES = (
    standard,
    one_header,
    labelled,
    dated,
    dated_in_body,
    asymmetric,
    urls,
    forms,
    in_body,
    certificates,
    tokens,
    formulas,
)
"""What adds the cases, in order."""


def build() -> list[dict[str, Any]]:
    """Return the cases; those of a scheme without an SDK bear what its documented formula expects."""
    book = Book()
    for module in MODULES:
        module.add_all(book)
    for case in book.cases.values():
        if case["scheme"] in formulas.SCHEMES:
            case["expected"] = formulas.expected(case)
            case["oracle"] = "formula"
            if case["meant"] not in {case["expected"], OPEN}:
                raise ValueError(f"{case['id']} was meant to be {case['meant']}")
    return [book.cases[name] for name in sorted(book.cases)]


if __name__ == "__main__":
    for case in build():
        sys.stdout.write(json.dumps(case, ensure_ascii=False) + "\n")
