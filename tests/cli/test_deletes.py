"""Deleting much at once stops for a person, who confirms it for one execution."""

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.cli.conftest import SHOP, Cli

HARD = SHOP.replace(
    "sync_mode: incremental, cursor_field: updated_at, write_mode: upsert",
    "sync_mode: full, write_mode: upsert, deletes: hard",
)


def change(shop: Path, statement: str) -> None:
    with closing(sqlite3.connect(shop)) as database, database:
        database.execute(statement)


def held(cli: Cli) -> int:
    with closing(sqlite3.connect(cli.directory / "house.db")) as database:
        found: tuple[int] = database.execute("SELECT count(*) FROM main__orders").fetchone()
        return found[0]


def test_a_confirmation_holds_for_one_execution(cli: Cli, shop: Path) -> None:
    change(
        shop,
        "WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 100) "
        "INSERT INTO orders SELECT i, '2026-01-03 00:00:00', 'x' FROM n",
    )
    cli.apply(HARD)
    cli("run", "acme/orders")
    change(shop, "DELETE FROM orders WHERE id > 60")

    refused = cli("run", "acme/orders", fails=1)
    before = held(cli)
    cli("run", "acme/orders", "--confirm-deletes")
    confirmed = held(cli)
    change(shop, "DELETE FROM orders WHERE id > 30")
    again = cli("run", "acme/orders", fails=1)

    assert "40 of 94 records of 'orders' are gone at the source, more than 20 %" in refused.stderr
    assert "trigger acme/orders --confirm-deletes" in refused.stderr
    assert (before, confirmed, held(cli)) == (94, 54, 54)
    assert "30 of 54 records" in again.stderr
