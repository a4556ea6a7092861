"""Mapped streams on every database: what arrives, what is set aside, what returns."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from connectors.contract import SyncMode, WriteMode
from sync_pipelines.catalog import history as histories
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.engine.outcome import ErrorClass
from sync_pipelines.model.execution import Request, Status
from sync_pipelines.model.mapping import parse_mapping
from sync_pipelines.model.sync import SyncStream
from tests.contract.systems import Duckdb, Postgres, Sqlite

CAST = {"rename": {"note": "pieces"}, "cast": {"pieces": "integer"}}
AT = "2026-01-0{} 10:00:00+00"


@pytest.fixture
def shop(postgres_url):
    """Three orders, of which one has no number where a number should be."""
    system = Postgres(postgres_url)
    system.make_orders(indexed=True)
    fill(system, (1, "4"), (2, "many"), (3, "6"))
    return system


def fill(system, *orders):
    with system.connect() as connection:
        for number, note in orders:
            connection.execute(
                "INSERT INTO orders VALUES (%s, %s, %s) ON CONFLICT (id) DO UPDATE "
                "SET note = excluded.note, changed_at = excluded.changed_at",
                (number, AT.format(number), note),
            )


@pytest.fixture(params=["postgresql", "sqlite", "duckdb"])
def house(request, tmp_path, postgres_url, shop):
    if request.param == "postgresql":
        with shop.connect() as connection:
            connection.execute("DROP SCHEMA IF EXISTS orders CASCADE")
        return Postgres(postgres_url, fresh=False)
    return Sqlite(tmp_path) if request.param == "sqlite" else Duckdb(tmp_path)


@pytest.fixture
def file(tmp_path):
    return Sqlite(tmp_path)


def synced(world, shop, house, mapping, **stream):
    usual = {
        "sync_mode": SyncMode.INCREMENTAL,
        "write_mode": WriteMode.UPSERT,
        "cursor_field": "changed_at",
        "mapping": None if mapping is None else parse_mapping(mapping),
    }
    return world.sync(
        streams=[SyncStream(name="orders", **{**usual, **stream})],
        source={"url": shop.url},
        destination={"url": house.url},
    )


def run(world, engine, sync, **request):
    identity = trigger(
        world.catalog, sync, now=world.clock(), request=Request(**request), queued=True
    )
    return engine.run(identity, attempt=1, run_id="run-1")


def pieces(house):
    return sorted((row["id"], row["pieces"]) for row in house.records("orders", "orders") or ())


def aside(house):
    return [(row["key"], row["reason"]) for row in house.records("orders", "_rejected") or ()]


def metadata(world, sync):
    with world.catalog.begin() as db:
        (found, *_) = histories.history(db, sync.id, tenant_id=sync.tenant_id)
    return found.metadata


def test_a_mapped_stream_arrives_as_mapped_and_the_unfit_record_is_set_aside(
    world, engine, shop, house
):
    """R97, T9: the execution is complete, and warns."""
    sync = synced(world, shop, house, CAST)

    report = run(world, engine, sync)

    assert report.outcome.status is Status.COMPLETED
    assert pieces(house) == [(1, 4), (3, 6)]
    assert aside(house) == [("2", "mapping.cast.pieces: the value is no integer")]
    assert report.results[0].encoding == "arrow"
    assert report.execution.status is Status.COMPLETED
    assert metadata(world, sync)["warning"] == (
        "rejected records: 1 of orders; `sync-pipelines rejected list` shows those that are kept"
    )


def test_a_redrive_after_the_mapping_was_put_right_brings_the_record(world, engine, shop, house):
    fill(shop, (4, "few"))
    run(world, engine, synced(world, shop, house, CAST))
    assert len(aside(house)) == 2
    lenient = {
        "omit": ["note"],
        "expression": {"pieces": "nullif(note, 'many')"},
        "cast": {"pieces": "integer"},
    }
    sync = synced(world, shop, house, lenient)

    report = run(world, engine, sync, redrive=True)

    assert report.outcome.status is Status.COMPLETED
    assert pieces(house) == [(1, 4), (2, None), (3, 6)]
    assert aside(house) == [("4", "mapping.cast.pieces: the value is no integer")]
    assert (report.results[0].counts.created, report.results[0].counts.rejected) == (1, 1)


def test_a_redrive_never_puts_an_older_version_over_a_newer_one(world, engine, shop, house):
    sync = synced(world, shop, house, CAST)
    run(world, engine, sync)
    with shop.connect() as connection:
        connection.execute(
            "UPDATE orders SET note = '9', changed_at = '2026-01-09 10:00:00+00' WHERE id = 2"
        )
    run(world, engine, sync)
    assert pieces(house) == [(1, 4), (2, 9), (3, 6)]
    sync = synced(
        world, shop, house, {"omit": ["note"], "expression": {"pieces": "length(note) * 100"}}
    )

    report = run(world, engine, sync, redrive=True)

    assert report.outcome.status is Status.COMPLETED
    assert pieces(house) == [(1, 4), (2, 9), (3, 6)]
    assert aside(house) == []


def test_a_redrive_leaves_what_was_read_so_far_as_it_was(world, engine, shop, file):
    sync = synced(world, shop, file, CAST)
    before = run(world, engine, sync).results[0].watermark
    run(world, engine, sync, redrive=True)
    fill(shop, (4, "8"))

    report = run(world, engine, sync)

    assert before is not None
    assert pieces(file) == [(1, 4), (3, 6), (4, 8)]
    assert report.results[0].counts.processed == 2


def test_a_redrive_into_a_replaced_table_adds_and_takes_nothing_away(world, engine, shop, file):
    full = {"sync_mode": SyncMode.FULL, "write_mode": WriteMode.REPLACE}
    run(world, engine, synced(world, shop, file, CAST, **full))
    lenient = {"omit": ["note"], "expression": {"pieces": "length(note)"}}

    report = run(world, engine, synced(world, shop, file, lenient, **full), redrive=True)

    assert report.outcome.status is Status.COMPLETED
    assert pieces(file) == [(1, 4), (2, 4), (3, 6)]
    assert aside(file) == []


def test_a_whole_read_without_rejections_leaves_none_of_earlier_ones(world, engine, shop, house):
    full = {"sync_mode": SyncMode.FULL, "write_mode": WriteMode.UPSERT}
    sync = synced(world, shop, house, CAST, **full)
    run(world, engine, sync)
    fill(shop, (2, "5"))

    report = run(world, engine, sync)

    assert pieces(house) == [(1, 4), (2, 5), (3, 6)]
    assert (aside(house), report.outcome.warning) == ([], None)


def test_the_payload_of_a_rejected_record_is_the_record_of_the_source(world, engine, shop, file):
    run(world, engine, synced(world, shop, file, CAST))

    (row,) = file.records("orders", "_rejected")
    payload = json.loads(row["payload"])
    assert (payload["id"], payload["note"]) == (2, "many")
    moment = datetime.fromisoformat(payload["changed_at"])
    assert moment == datetime(2026, 1, 2, 10, tzinfo=UTC)


def test_a_mapping_that_does_not_fit_the_source_fails_before_anything_is_written(
    world, engine, shop, file
):
    sync = synced(world, shop, file, {"omit": ["id"]})

    report = run(world, engine, sync)

    failure = report.results[0].failure
    assert failure is not None
    assert failure.error_class is ErrorClass.CONFIG
    assert "mapping.omit: 'id' is part of the primary key" in failure.message
    assert file.records("orders", "orders") is None


def test_an_exact_decimal_is_computed_and_stored(world, engine, shop, house):
    with shop.connect() as connection:
        connection.execute("ALTER TABLE orders ADD net numeric(10,2) DEFAULT 19.99")
    mapping = {"omit": ["note"], "expression": {"gross": "round(net * 1.19, 2)"}}

    run(world, engine, synced(world, shop, house, mapping))

    rows = house.records("orders", "orders")
    assert {Decimal(str(row["gross"])) for row in rows} == {Decimal("23.79")}


def test_an_unmapped_stream_between_two_postgresql_still_goes_as_it_is(
    world, engine, shop, postgres_url
):
    house = Postgres(postgres_url, fresh=False)
    with shop.connect() as connection:
        connection.execute("DROP SCHEMA IF EXISTS orders CASCADE")

    plain = run(world, engine, synced(world, shop, house, None))
    mapped = run(world, engine, synced(world, shop, house, {"constant": {"shop": "north"}}))

    assert (plain.results[0].encoding, mapped.results[0].encoding) == ("pgcopy", "arrow")


def test_a_function_takes_the_mapped_records(world, engine, shop, house, tmp_path, monkeypatch):
    (tmp_path / "shop_rules.py").write_text(
        "def clean(frame):\n    frame['twice'] = frame['pieces'] * 2\n    return frame\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    allowing = replace(engine, transform_modules=("shop_rules",))
    sync = synced(world, shop, house, CAST, transform="shop_rules:clean")

    refused = run(world, engine, sync)
    report = run(world, allowing, sync)

    failure = refused.results[0].failure
    assert failure is not None
    assert "SYNC_TRANSFORM_MODULES" in failure.message
    assert report.results[0].encoding == "arrow"
    rows = house.records("orders", "orders")
    assert sorted((row["id"], row["twice"]) for row in rows) == [(1, 8), (3, 12)]
