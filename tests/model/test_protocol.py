"""Nothing is lost and nothing is doubled, whatever happens, in any order."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

from tests.model.protocol import Protocol

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "100"))  # `make model` asks for more

TestProtocol = Protocol.TestCase
TestProtocol.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=25,
    deadline=None,
    derandomize=EXAMPLES == 100,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    print_blob=True,
)
