"""Nothing is lost and nothing is doubled, whatever happens, in any order."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

from tests.examples import examples
from tests.model.protocol import Protocol

ASKED = int(os.environ.get("MODEL_EXAMPLES", "0"))  # `make model` asks for many, and others each time

TestProtocol = Protocol.TestCase
TestProtocol.settings = settings(
    max_examples=ASKED or examples(100),
    stateful_step_count=25,
    derandomize=not ASKED,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    print_blob=True,
)
