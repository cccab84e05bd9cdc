"""`relay sync`: QStash is held to what was deployed, of the relay that is named or whose file is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Relay

CHANGE = {"kind": "groups", "name": "shop.audit", "change": "set erp of shop.audit"}


def written(folder: Path, name: str) -> Path:
    """Return a relay.toml, of the relay called *name*, that has what only a relay on this machine may."""
    file = folder / 'it\'s "mine".toml'
    file.write_text(
        f'[relay]\nname = "{name}"\n[sources.github]\nscheme = "github"\nto = ["g"]\n'
        '[url_groups.g.destinations]\nbuilder = "http://127.0.0.1:8080/in"\n',
        encoding="utf-8",
    )
    return file


def test_what_was_done_is_told_and_nothing_where_nothing_was(deployed: Relay) -> None:
    deployed.server.says("POST", "/v1/sync", {"done": [CHANGE]}, {"done": []})

    mended, whole = deployed.run("sync"), deployed.run("sync")

    assert (mended.exit_code, mended.stdout) == (0, "set erp of shop.audit\n")
    assert (whole.exit_code, whole.stdout, whole.stderr) == (0, "", "QStash matches the last deploy\n")


def test_a_plan_changes_nothing_and_fails_where_anything_differs(deployed: Relay) -> None:
    deployed.server.says("GET", "/v1/sync", {"differs": [CHANGE]}, {"differs": []})

    differs, whole = deployed.run("sync", "--plan"), deployed.run("sync", "--plan")

    assert (differs.exit_code, differs.stdout) == (1, "set erp of shop.audit\n")
    assert whole.exit_code == 0


def test_the_relay_is_the_one_that_the_file_names_whatever_is_set(deployed: Relay, tmp_path: Path) -> None:
    deployed.server.says("POST", "/v1/sync", {"done": []})
    file = written(tmp_path, deployed.name)

    shown = deployed.run("--name", "another", "sync", "--config", str(file))

    assert shown.exit_code == 0, shown.stderr
    assert [it.method for it in deployed.server.asked("/v1/sync")] == ["POST"]


def test_a_file_of_a_relay_that_is_not_deployed_is_told_by_its_name(deployed: Relay, tmp_path: Path) -> None:
    shown = deployed.run("sync", "--config", str(written(tmp_path, "elsewhere")))

    assert shown.exit_code == 1
    assert "there is no stack elsewhere" in shown.stderr


def test_a_file_that_can_not_be_read_is_told(deployed: Relay, tmp_path: Path) -> None:
    shown = deployed.run("sync", "--config", str(tmp_path / "none.toml"))

    assert shown.exit_code == 1
    assert "none.toml has 1 mistake" in shown.stderr
    assert deployed.server.asked("/v1/sync") == []
