"""``rejected``: what is shown of the records that could not be used, and their way back."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.cli.conftest import SHOP, Cli

STRICT = SHOP.replace(
    "write_mode: upsert}", "write_mode: upsert, mapping: {cast: {note: integer}}}"
).replace("dataset: main", "dataset: kept")


def fill(shop: Path, *notes: str) -> None:
    with closing(sqlite3.connect(shop)) as database, database:
        for number, note in enumerate(notes, start=1):
            database.execute("UPDATE orders SET note = ? WHERE id = ?", (note, number))


def test_rejected_records_are_listed_and_sent_again(cli: Cli, shop: Path) -> None:
    """R97, T9."""
    fill(shop, "1", "two", "3")
    cli.apply(STRICT)
    ran = cli("run", "acme/orders")
    listed = json.loads(cli("rejected", "list", "acme/orders", "--payload", "--json").stdout)
    cli.apply(STRICT.replace("{cast: {note: integer}}", "{expression: {size: length(note)}}"))

    again = cli("rejected", "redrive", "acme/orders", fails=1)
    cli.apply(STRICT.replace("{cast: {note: integer}}", "{omit: [note]}"))
    last = cli("rejected", "redrive", "acme/orders")

    assert "warning: rejected records: 1 of orders" in ran.stderr
    assert [(one["key"], json.loads(one["payload"])["note"]) for one in listed] == [("2", "two")]
    assert "payload" not in cli("rejected", "list", "acme/orders", "--json").stdout
    assert "column 'note'" in again.stderr
    assert "acme/orders: completed" in last.stdout
    assert "no record of acme/orders is rejected" in cli("rejected", "list", "acme/orders").stderr
    with closing(sqlite3.connect(cli.directory / "house.db")) as database:
        found = database.execute("SELECT id, note FROM kept__orders ORDER BY id").fetchall()
    assert found == [(1, 1), (2, None), (3, 3)]


def test_an_unknown_stream_is_refused(cli: Cli, shop: Path) -> None:
    failed = cli("rejected", "list", "acme/orders", "--stream", "order", fails=1)

    assert "did you mean 'orders'?" in failed.stderr
