"""Every call of PyPI's ``qstash`` is made by these tests: by introspection, so that none of a newer one is missing."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest
from qstash import AsyncQStash, QStash


def _calls_of(client: QStash | AsyncQStash) -> set[tuple[str, str]]:
    return {
        (resource, name)
        for resource, api in vars(client).items()
        if resource != "http"
        for name, _ in inspect.getmembers(api, callable)
        if not name.startswith("_")
    }


@pytest.mark.parametrize("flavour", [QStash, AsyncQStash])
def test_every_call_of_the_sdk_is_made_here(flavour: type[QStash | AsyncQStash]) -> None:
    """Each public method of each resource of the client is called, as ``sdk.resource.method``, in this folder."""
    called = {
        (node.value.attr, node.attr)
        for path in Path(__file__).parent.glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Attribute)
        and isinstance(node.value.value, ast.Name)
        and node.value.value.id == "sdk"
    }

    calls = _calls_of(flavour("token"))

    assert len(calls) > 35
    assert called == calls
