"""What a command says where something is amiss: with the remedy, and nothing against itself."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import Cli


def test_who_deletes_without_a_terminal_is_told_to_say_yes(cli: Cli, shop: Path) -> None:
    failed = cli("schedules", "delete", "acme/orders/nightly", fails=1)
    listed = json.loads(cli("schedules", "list", "acme", "--json").stdout)

    assert failed.stderr.endswith("\nerror: nothing was removed: without a terminal, say --yes\n")
    assert len(listed) == 1


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_a_reload_with_a_home_that_cannot_be_used_is_told_the_remedy(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    home = cli.directory / "elsewhere"
    if kind == "file":
        home.write_text("not a directory")
    monkeypatch.setenv("SYNC_HOME", str(home))

    failed = cli("reload", fails=1)

    assert f"SYNC_HOME {home} is no directory that you may use" in failed.stderr
    assert "set SYNC_HOME to the home of what runs" in failed.stderr
    assert home.is_dir() is False


def test_what_is_said_of_cursors_agrees_with_the_candidates_beside_it(cli: Cli, shop: Path) -> None:
    with closing(sqlite3.connect(shop)) as database:
        database.execute("CREATE TABLE visits (id INTEGER PRIMARY KEY, seen DATETIME)")

    told = json.loads(cli("connections", "discover", "acme/shop", "--json").stdout)
    found = {one["stream"]: one for one in told}

    assert found["visits"]["cursor_candidates"] == ["seen", "id"]
    assert found["countries"]["cursor_candidates"] == []
    for name in ("visits", "countries"):
        assert found[name]["note"].startswith("no column is a cursor by its name: full reads only")
    assert "by its name" not in found["orders"]["note"]
