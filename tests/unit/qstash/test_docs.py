"""The page about the local QStash names all that it has."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from infra.local.qstash.__main__ import main
from infra.local.qstash.api.admin import Changes
from infra.local.qstash.app import app
from infra.local.qstash.broker.faults import Fault
from infra.local.qstash.language.limits import PLANS

PAGE = (Path(__file__).parents[3] / "docs" / "local-qstash.md").read_text()
ROUTES = {getattr(route, "path", "") for route in app(admin_token="x").routes}
NAMED = {
    "option": [option for parameter in main.params for option in parameter.opts],
    "plan": [f"`{plan}`" for plan in PLANS],
    "fault": [f"| `{do}` |" for do in get_args(Fault.model_fields["do"].annotation)],
    "what a rule is about": [f"`{on}`" for on in get_args(Fault.model_fields["on"].annotation)],
    "match of a rule": [f"`{name}`" for name in get_args(get_args(Fault.model_fields["match"].annotation)[0])],
    "field of a rule": [f"`{name}`" for name in Fault.model_fields],
    "setting": [f"`{name}`" for name in Changes.model_fields],
    "admin route": [path for path in ROUTES if path.startswith("/admin")],
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in NAMED.items() for name in names])
def test_the_page_names_every(kind: str, name: str) -> None:
    assert name in PAGE, kind
