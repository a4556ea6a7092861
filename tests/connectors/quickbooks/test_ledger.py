"""The ledger beside a company: which object is which record, and how far each stream has come."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest

from connectors.contract import Encoding, State
from connectors.errors import ConfigError, TransientError
from tests.connectors.quickbooks_world import Books, customer, invoice, target
from tests.providers.quickbooks import QuickBooks


def test_without_a_ledger_nothing_is_written(books: Books) -> None:
    schema = pa.schema([("id", pa.int64())])

    with closing(books.destination(ledger=None)) as destination:
        said = destination.check()
        with pytest.raises(ConfigError, match="ledger is missing"):
            destination.open(target("customers", schema), Encoding.ARROW)

    assert "set ledger" in said


@pytest.mark.parametrize("kind", ["postgresql", "sqlite", "duckdb"])
def test_every_database_of_ours_keeps_a_ledger(
    company: QuickBooks, books: Books, postgres_url: str, tmp_path: Path, kind: str
) -> None:
    books.ledger = postgres_url if kind == "postgresql" else f"{kind}:///{tmp_path}/books.{kind}"

    first, _ = books.send("customers", customer(1, "O'Hara"), customer(2, "Bo"), mark="one")
    changed = customer(1, "O'Hara", notes="x")
    second, _ = books.send("customers", changed, execution="second", mark="two")
    again, _ = books.send("customers", customer(2, "Bo", notes="x"), execution="second")

    done = [first.counts, second.counts, again.counts]
    assert [(one.processed, one.created, one.updated) for one in done] == [
        (2, 2, 0),
        (1, 0, 1),
        (2, 0, 2),
    ]
    assert second.state.watermark == "two"
    assert len(company.all("Customer")) == 2


def test_a_lost_ledger_costs_queries_and_doubles_nothing(
    company: QuickBooks, books: Books, tmp_path: Path
) -> None:
    books.send("customers", customer(1, "Ann"))
    books.send("invoices", invoice(1), invoice(2))
    (tmp_path / "ledger.db").unlink()
    company.replays.clear()

    books.send("customers", customer(1, "Ann"))
    _, refused = books.send("invoices", invoice(1), invoice(2, note="changed"))

    assert refused == []
    first, second = sorted(company.all("Invoice"), key=lambda one: one["DocNumber"])
    assert (first["DocNumber"], second["DocNumber"]) == ("W1", "W2")
    assert second["PrivateNote"].startswith("changed")
    assert len(company.all("Customer")) == 1


def test_a_ledger_of_an_earlier_version_is_completed(
    company: QuickBooks, books: Books, tmp_path: Path
) -> None:
    books.send("customers", customer(1, "Ann"))
    with closing(sqlite3.connect(books.ledger.removeprefix("sqlite:///"))) as ledger:
        ledger.execute("ALTER TABLE main___quickbooks_objects DROP COLUMN newest")

    books.send("customers", customer(1, "Ann", phone="555"), execution="second")

    (ann,) = company.all("Customer")
    assert ann["PrimaryPhone"] == {"FreeFormNumber": "555"}


def test_the_state_is_known_to_the_next_execution_and_to_no_other_stream(books: Books) -> None:
    first, _ = books.send("customers", customer(1, "Ann"), mark="one")
    schema = pa.schema([("id", pa.int64())])

    with books.writing(target("customers", schema)) as again:
        same = again.committed
    with books.writing(target("customers", schema, "second")) as again:
        later = again.committed
    with books.writing(target("items", schema)) as other:
        foreign = other.committed

    assert same == first
    assert (later.state, later.finished, later.counts.created) == (first.state, False, 0)
    assert foreign.state is None


def test_of_two_writers_the_second_to_commit_is_refused(books: Books) -> None:
    """R74."""
    schema = pa.schema([("id", pa.int64())])
    with (
        books.writing(target("customers", schema, "slow")) as slow,
        books.writing(target("customers", schema, "fast")) as fast,
    ):
        fast.commit(State(version=1, value={"watermark": "fast"}), finished=True)

        with pytest.raises(TransientError):
            slow.commit(State(version=1, value={"watermark": "slow"}), finished=True)
