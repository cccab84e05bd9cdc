"""Each function in here is the way one SDK wants to be asked, and nothing else.

What is true of a request is for the SDK to say.
"""

from __future__ import annotations

from importlib import import_module

from tests.gate.provider_sdks.asking import ORACLES

__all__ = ["ORACLES"]

for _signed in ("hmac_headers", "urls_and_bodies", "keys_and_tokens"):  # SDKs are asked in this order
    import_module(f"{__name__}.{_signed}")
