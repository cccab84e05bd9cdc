"""The verifier beside the providers' own SDKs: their verdicts on thousands of requests, as `tests/gate` keeps them.

A verdict of ours that no SDK shares is a decision, and stands in docs/schemes.md.
"""

from __future__ import annotations

import base64
import hmac
import json
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from infra.config.schemes import built_in_schemes
from relay.errors import SignatureError
from relay.verification.request import InboundRequest
from relay.verification.scheme import Row
from relay.verification.secret import Secret
from relay.verification.verify import verify

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[3]
FILE = ROOT / "tests" / "data" / "provider_cases.jsonl"
ROWS = {name: Row.of(it.row()) for name, it in built_in_schemes().items()}

# What docs/schemes.md says, and the cases (scheme/case) in which no SDK shares our verdict.
DIFFERENCES: dict[str, tuple[str, ...]] = {
    "A signed time in the future or older than the row's tolerance is refused": (
        *("*/time-future-*", "*/time-past-*", "*/time-old", "*/number-in-other-unit", "plaid/claims-issued-in-an-hour"),
    ),
    "A signed time is a whole number": (
        *("*/number-word", "*/number-with-zero", "linear/stamp-*", "mailgun*/time-with-plus"),
        "standard-webhooks/blanks-around-webhook-timestamp",
    ),
    "The right signature under another version label, and a weaker algorithm": (
        *(
            "*/labels-under-other-label",
            "*/header-mac-as-asymmetric",
            "twilio-shared-key/*",
            "paypal/hash-sha1-declared",
        ),
        *("workos/items-names-upper-case", "buildkite/valid-token"),
    ),
    "A body is bytes": (*("*/valid-not-utf8", "*/valid-empty", "zoom/valid-*", "zoom/newline-added"),),
    "A certificate's URL must be https at its owner's host": ("paypal/cert-url-*", "aws-sns/cert-url-*"),
    "A JWT that has a body to bind must bind it": (
        *("vonage/body-emptied", "vonage/tampered", "vonage/token-payload-hash-*"),
    ),
    "A value that stands twice in a form or a header": (
        *(
            "mailgun-inbound-form/fields-twice-*",
            "*/items-time-twice-last-right",
            "braintree/pairs-ours-twice-last-right",
        ),
    ),
    "Blanks around a header's value or between items": (
        *("*/blanks-around-*", "*/items-blank-between", "plivo-v3/several-after-blank"),
    ),
    "Base64 and hex have one spelling": (
        *("sendgrid/signature-with-more", "twitch-eventsub/signature-upper-case", "qstash/token-padded"),
        "livekit/token-hash-unpadded",
    ),
    "HubSpot's documentation decodes some escapes": ("hubspot-v3/url-signed-decoded",),
    "SNS signs the token of an UnsubscribeConfirmation": ("aws-sns/valid-unsubscription-v2",),
    "Items of a list may come in any order": (
        *("*/items-reversed", "*/labels-after-other-label", "*/labels-first-of-three", "*/labels-last-of-three"),
        "stripe/items-value-with-equals",
    ),
    "An HTTP authentication scheme is the same in any case, and must be there": ("vonage/scheme-*",),
    "A claim that the row doesn't name isn't looked at": ("vonage/token-audience",),
    "Contentful's SDK wants a secret of 64 characters": ("contentful/secret-too-short",),
    "Adyen's SDK wants an amount": ("adyen/amount-missing",),
}


@cache
def cases() -> tuple[dict[str, Any], ...]:
    return tuple(json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines())


def verdict(case: Mapping[str, Any]) -> str:
    request = InboundRequest(
        method=case["method"],
        urls=[case["url"]],
        headers={name.lower(): it for name, it in case["headers"].items()},
        body=base64.b64decode(case["body"]),
    )
    secrets = [] if case["secret"] is None else [Secret(case["secret"])]
    try:
        verify(ROWS[case["scheme"]], request, secrets, at=case["now"])
    except SignatureError:
        return "invalid"
    return "valid"


def theirs(case: Mapping[str, Any]) -> set[str]:
    """Return the verdicts of the SDKs; of a scheme without one what its documented formula gives."""
    return {*case.get("verdicts", {}).values()} or {case["expected"]}


def difference(case: Mapping[str, Any]) -> str | None:
    return next((why for why, them in DIFFERENCES.items() if any(fnmatchcase(case["id"], it) for it in them)), None)


@pytest.mark.parametrize("scheme", sorted({it["scheme"] for it in cases()}))
def test_a_verdict_is_one_of_an_sdk_or_a_decision_that_is_written_down(scheme: str) -> None:
    ours = {case["id"]: (case, verdict(case)) for case in cases() if case["scheme"] == scheme}

    alone = {name for name, (case, mine) in ours.items() if mine not in theirs(case) and difference(case) is None}

    assert alone == set()
    assert {mine for _, mine in ours.values()} == {"valid", "invalid"}


def test_every_difference_still_is_one_and_stands_in_the_documentation() -> None:
    """A decision that makes no difference any more is forgotten, and one that nobody can read surprises."""
    page = " ".join((ROOT / "docs" / "schemes.md").read_text(encoding="utf-8").split())
    made = {
        pattern
        for case in cases()
        if verdict(case) not in theirs(case)
        for them in DIFFERENCES.values()
        for pattern in them
        if fnmatchcase(case["id"], pattern)
    }

    assert [why for why in DIFFERENCES if why not in page] == []
    assert {pattern for them in DIFFERENCES.values() for pattern in them} - made == set()


def test_no_difference_lets_in_what_an_sdk_refuses_for_its_signature() -> None:
    """Where we are looser, the signature is right: it is the same bytes, under the same key."""
    looser = {
        case["id"]
        for case in cases()
        if verdict(case) == "valid" and theirs(case) == {"invalid"} and case["meant"] == "invalid"
    }

    assert looser == set()


def test_every_built_in_scheme_but_the_generic_ones_is_judged() -> None:
    without_cases = built_in_schemes().keys() - {it["scheme"] for it in cases()}

    assert without_cases == {"hmac", "basic", "token", "jwt", "buildkite-token"}


COMPARED = sorted({it["scheme"] for it in cases() if not ROWS[it["scheme"]].needs_public_keys})


@pytest.mark.parametrize("scheme", COMPARED)
def test_what_decides_is_a_comparison_in_constant_time(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `compare_digest` always false nothing is accepted: no other comparison lets anything in."""
    accepted = [it for it in cases() if it["scheme"] == scheme and it["secret"] and verdict(it) == "valid"]
    unsigned = ("challenge", "handshake", "validation")  # there is nothing to compare in what nobody signs
    monkeypatch.setattr(hmac, "compare_digest", lambda *_: False)

    still = [it["id"] for it in accepted if verdict(it) == "valid" and not any(word in it["id"] for word in unsigned)]

    assert still == []
    assert accepted
