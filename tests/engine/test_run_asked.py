"""What an execution is asked for, by its request and by its streams, is done or is refused."""

from dataclasses import replace

import pytest

from connectors.contract import Deletes, SyncMode, WriteMode
from sync_pipelines.engine.outcome import ErrorClass
from sync_pipelines.model.mapping import parse_mapping
from sync_pipelines.model.sync import SyncStream
from tests.engine.moving import UPSERT, run, stream


def test_an_incremental_append_doubles_nothing_at_the_edge_and_a_full_one_keeps_snapshots(
    world, engine, systems
):
    """R55, R70."""
    edge = SyncStream(
        name="orders",
        sync_mode=SyncMode.INCREMENTAL,
        write_mode=WriteMode.APPEND,
        cursor_field="seq",
        table="edge",
    )
    snapshots = SyncStream(name="orders", write_mode=WriteMode.APPEND, table="snapshots")
    for configured in (edge, snapshots):
        sync = world.sync(streams=[configured])
        run(world, engine, sync)
        run(world, engine, sync)

    assert len(systems.rows("edge")) == 3
    assert len(systems.rows("snapshots")) == 6


def test_a_full_resync_reads_everything_again_and_doubles_nothing(world, engine, systems):
    """R53."""
    sync = world.sync(streams=[UPSERT])
    run(world, engine, sync)

    report = run(world, engine, sync, full=True)

    assert report.results[0].counts.processed == 3
    assert report.results[0].counts.created == 0
    assert len(systems.rows()) == 3


def test_a_window_is_read_again_without_moving_the_state(world, engine, systems):
    sync = world.sync(streams=[UPSERT])
    run(world, engine, sync)

    report = run(world, engine, sync, window_start="1", window_end="3")

    assert report.results[0].counts.processed == 2
    assert report.results[0].watermark == "3"


def test_only_the_streams_that_were_asked_for_run(world, engine, systems):
    systems.streams.append(stream("refunds"))
    sync = world.sync(streams=[SyncStream(name="orders"), SyncStream(name="refunds")])

    report = run(world, engine, sync, streams=("refunds",))

    assert [result.stream for result in report.results] == ["refunds"]
    assert systems.rows("orders") == []


@pytest.mark.parametrize(
    ("configured", "message"),
    [
        (SyncStream(name="orders", columns=("id", "sq")), "'seq'"),
        (
            SyncStream(name="orders", write_mode=WriteMode.UPSERT, primary_key=()),
            "no primary key",
        ),
        (SyncStream(name="orders", primary_key=("key",)), "no column 'key'"),
    ],
)
def test_what_the_source_cannot_give_is_refused_before_a_record_moves(
    world, engine, systems, configured, message
):
    sync = world.sync(streams=[configured])

    report = run(world, engine, sync)

    assert report.outcome.failure.error_class is ErrorClass.CONFIG
    assert message in report.outcome.failure.message
    assert systems.rows() == []


def test_an_incremental_replace_is_refused_when_it_is_configured():
    with pytest.raises(ValueError, match="upsert or append"):
        SyncStream(name="orders", sync_mode=SyncMode.INCREMENTAL)


def test_what_the_source_says_is_deleted_is_deleted_by_its_mapped_key(world, engine, systems):
    (held,) = systems.streams
    held.stream = replace(held.stream, tells_deletes=True)
    mapping = parse_mapping({"rename": {"id": "number"}, "cast": {"number": "text"}})
    sync = world.sync(streams=[replace(UPSERT, deletes=Deletes.HARD, mapping=mapping)])
    run(world, engine, sync)
    held.delete({"id": 2})

    report = run(world, engine, sync)

    found = systems.store.records("orders", "orders") or ()
    assert sorted(row["number"] for row in found) == ["1", "3"]
    assert report.results[0].counts.deleted == 1


def test_deletes_of_a_source_that_does_not_tell_them_need_a_full_read(world, engine, systems):
    sync = world.sync(streams=[replace(UPSERT, deletes=Deletes.SOFT)])

    report = run(world, engine, sync)

    failure = report.results[0].failure
    assert failure is not None
    assert "does not tell what is deleted, so deletes: soft needs sync_mode full" in failure.message


def test_deletes_are_told_by_the_source_s_own_key_and_by_no_other(world, engine, systems):
    """Its rows would never be found by another one, and stay for ever."""
    (held,) = systems.streams
    held.stream = replace(held.stream, tells_deletes=True)
    other = held.stream.schema.names[1]
    sync = world.sync(streams=[replace(UPSERT, deletes=Deletes.SOFT, primary_key=(other,))])

    report = run(world, engine, sync)

    failure = report.results[0].failure
    assert failure is not None
    assert f"by its own key (id), and primary_key is ({other})" in failure.message
    assert "leave primary_key out" in failure.message
