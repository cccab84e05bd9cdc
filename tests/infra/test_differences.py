"""The local AWS gets the real stack: it differs where infra/local/aws/differences.py says, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from infra.local.aws.differences import DIFFERENCES, LocalAws
from tests.infra.conftest import LOCAL

if TYPE_CHECKING:
    from pathlib import Path

    from tests.infra.conftest import Synthesized

# What follows from the three values that the stack is given: the code, the base URL, the bucket of assets.
GIVEN = {
    ("AWS::Lambda::Function", "Properties.Code.S3Bucket"),
    ("AWS::Lambda::Function", "Properties.Code.S3Key"),
    ("AWS::Lambda::Function", "Properties.Environment.Variables.RELAY_BASE_URLS"),
    ("Custom::QStash", "Properties.Desired"),
}
REMOVAL = {"DeletionPolicy", "UpdateReplacePolicy"}


def changes(real: Any, local: Any, path: str = "") -> set[str]:
    """Return the dotted paths at which two values differ."""
    if isinstance(real, dict) and isinstance(local, dict):
        return {
            change
            for key in real.keys() | local.keys()
            for change in changes(real.get(key), local.get(key), f"{path}.{key}" if path else key)
        }
    return {path} if real != local else set()


def test_nothing_differs_but_what_is_listed(real: Synthesized, local: Synthesized) -> None:
    there, here = real.template["Resources"], local.template["Resources"]
    left_out = {it.type for it in DIFFERENCES if it.path is None}
    listed = {(it.type, f"Properties.{it.path}") for it in DIFFERENCES if it.path} | GIVEN

    differing = {
        (there[id_]["Type"], path)
        for id_ in there.keys() & here.keys()
        for path in changes(there[id_], here[id_])
        if path not in REMOVAL
    }

    assert here.keys() <= there.keys()
    assert {there[id_]["Type"] for id_ in there.keys() - here.keys()} == left_out
    assert differing == listed, "each difference must be listed, and each listed one must be needed"


def test_outputs_differ_in_the_relays_url_only(real: Synthesized, local: Synthesized) -> None:
    assert changes(real.template["Outputs"], local.template["Outputs"]) == {"RelayUrl.Value", "ApiUrl.Value"}
    assert local.template["Outputs"]["RelayUrl"]["Value"] == LOCAL["base_url"]


def test_the_local_stack_needs_no_bootstrap_and_keeps_nothing(local: Synthesized) -> None:
    resources = local.template["Resources"].values()

    assert "Parameters" not in local.template
    assert {it.get(policy) for it in resources for policy in REMOVAL} == {"Delete"}
    assert {it["Properties"]["Code"]["S3Bucket"] for it in local.of_type("AWS::Lambda::Function").values()} == {
        "assets"
    }


def test_the_apis_id_is_pinned(local: Synthesized) -> None:
    assert local.one("AWS::ApiGatewayV2::Api")["Properties"]["Tags"] == {"ms-custom-id": "0a1b2c3d"}


def test_every_difference_says_why() -> None:
    assert all(len(it.why) > 20 for it in DIFFERENCES)


def test_the_context_is_json_a_file_or_an_object(tmp_path: Path) -> None:
    import json

    (tmp_path / "local.json").write_text(json.dumps(LOCAL), encoding="utf-8")

    assert LocalAws.of(dict(LOCAL)) == LocalAws.of(json.dumps(LOCAL)) == LocalAws.of(str(tmp_path / "local.json"))
    assert LocalAws.of(None) is None


@pytest.mark.parametrize("context", ["nonsense", "{", '{"base_url": "x"}', '{"other": 1}'])
def test_a_wrong_context_is_told(context: str) -> None:
    with pytest.raises(
        ValueError, match="the context 'local' must be a JSON object with base_url, staging_bucket, api_id"
    ):
        LocalAws.of(context)
