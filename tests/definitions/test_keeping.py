"""What housekeeping leaves in Dagster's tables, made by the pinned Dagster itself."""

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from uuid import uuid4

import dagster as dg
import psycopg
import pytest
from dagster._core.execution.plan.outputs import StepOutputData

from sync_pipelines.catalog.keeping import Forgotten
from sync_pipelines.clock import system_clock
from sync_pipelines.definitions import defs
from sync_pipelines.defs import keeping, resources
from sync_pipelines.defs.housekeeping import forget_files
from sync_pipelines.engine.run import Engine
from sync_pipelines.model.retention import RetentionPolicy
from tests.world import make_catalog

DAGSTER_YAML = Path(__file__).parents[2] / "dagster.yaml"
POLICY = RetentionPolicy()
PARTITIONS = dg.DynamicPartitionsDefinition(name="things")


@dg.asset(partitions_def=PARTITIONS)
def things() -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"rows": 1}, tags={"colour": "red"})


@dg.asset
def whole() -> None:
    pass


@dg.op
def broken() -> None:
    raise ValueError("as told")


@dg.job
def failing() -> None:
    broken()


MADE = dg.Definitions(
    assets=[things, whole],
    jobs=[
        failing,
        dg.define_asset_job("make_things", selection=[things]),
        dg.define_asset_job("make_whole", selection=[whole]),
    ],
)


class Past:
    """An installation's Dagster, whose runs a test moves into the past."""

    def __init__(self, instance, url):
        self.instance, self.url = instance, url
        self.catalog = make_catalog(url)

    def run(self, job, *, days, partition=None):
        """A run of a job, as if it had been carried out some days ago."""
        if partition:
            self.instance.add_dynamic_partitions("things", [partition])
        made = MADE.resolve_job_def(job).execute_in_process(
            instance=self.instance, partition_key=partition, raise_on_error=False
        )
        shift = f"- interval '{days} days'"
        self.sql(
            f"UPDATE dagster.runs SET update_timestamp = update_timestamp {shift}, "
            f"create_timestamp = create_timestamp {shift} WHERE run_id = '{made.run_id}'"
        )
        self.sql(
            f"UPDATE dagster.event_logs SET timestamp = timestamp {shift} "
            f"WHERE run_id = '{made.run_id}'"
        )
        return made.run_id

    def sql(self, statement):
        with psycopg.connect(self.url) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def runs(self):
        return {run.run_id for run in self.instance.get_runs()}

    def count(self, table):
        return self.sql(f"SELECT count(*) FROM dagster.{table}")[0][0]

    def tidy(self, *, dry_run=False, stop=lambda: False):
        return keeping.tidy(self.catalog, POLICY, now=system_clock(), stop=stop, dry_run=dry_run)


@pytest.fixture
def past(catalog_url, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNC_DATABASE_URL", catalog_url)
    shutil.copy(DAGSTER_YAML, tmp_path / "dagster.yaml")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        made = Past(instance, catalog_url)
        yield made
        made.catalog.close()


def test_old_runs_go_with_everything_that_dagsters_own_deletion_takes(past):
    """Measured against `DagsterInstance.delete_run`, on a run of the same job."""
    tables = ("runs", "run_tags", "event_logs", "asset_event_tags")
    empty = [past.count(table) for table in tables]
    past.run("make_things", days=3, partition="a")
    by_dagster = past.run("make_things", days=0, partition="a")
    full = [past.count(table) for table in tables]

    tidied = past.tidy()
    after_ours = [past.count(table) for table in tables]
    past.instance.delete_run(by_dagster)

    assert empty == [0, 0, 0, 0]
    assert tidied.runs == Forgotten(rows=1)
    assert [count * 2 for count in after_ours] == full
    assert [past.count(table) for table in tables] == empty


def test_the_run_of_a_partitions_latest_materialization_stays_however_old(past):
    kept = past.run("make_things", days=300, partition="rare")
    past.run("make_things", days=300, partition="often")
    newest = past.run("make_things", days=200, partition="often")
    past.run("make_whole", days=200)
    whole_kept = past.run("make_whole", days=100)

    past.tidy()

    assert past.runs() == {kept, newest, whole_kept}
    assert past.instance.get_materialized_partitions(dg.AssetKey("things")) == {"rare", "often"}
    record = past.instance.get_latest_materialization_event(dg.AssetKey("things"))
    assert record.asset_materialization.metadata["rows"].value == 1


def test_failed_runs_stay_longer_and_say_what_failed(past):
    recent = past.run("failing", days=13)
    past.run("failing", days=15)

    tidied = past.tidy()

    assert tidied.runs.rows == 1
    assert past.runs() == {recent}
    said = [entry.dagster_event for entry in past.instance.all_logs(recent)]
    assert any("as told" in str(event.event_specific_data) for event in said if event)


def test_runs_that_have_not_ended_and_runs_of_today_stay(past):
    going = past.run("make_things", days=20, partition="a")
    past.sql("UPDATE dagster.runs SET status = 'STARTED'")
    queued = past.instance.create_run_for_job(MADE.resolve_job_def("failing"))
    past.run("make_things", days=1, partition="a")

    tidied = past.tidy()

    assert tidied.runs.rows == 0
    assert {going, queued.run_id} < past.runs()


def test_a_dry_run_counts_the_same_and_deletes_nothing(past):
    for _ in range(3):
        past.run("make_things", days=30, partition="a")
    past.run("failing", days=30)
    before = past.count("event_logs")

    counted = past.tidy(dry_run=True)
    untouched = past.count("event_logs")

    assert untouched == before
    assert past.tidy() == counted
    assert counted.runs.rows == 3


def test_interrupted_between_batches_it_goes_on_the_next_time(past, monkeypatch):
    monkeypatch.setattr(keeping, "RUNS_A_BATCH", 2)
    newest = [past.run("make_things", days=30, partition="a") for _ in range(6)][-1]
    turns = iter([False, True])
    with keeping._dagster_tables(past.catalog) as tables:
        first = keeping.forget_runs(tables, POLICY, now=system_clock(), stop=lambda: next(turns))
    halfway = past.runs()
    orphans = past.sql(
        "SELECT count(*) FROM dagster.event_logs e "
        "WHERE NOT EXISTS (SELECT FROM dagster.runs r WHERE r.run_id = e.run_id)"
    )

    rest = past.tidy()

    assert first == Forgotten(rows=2, finished=False)
    assert len(halfway) == 4
    assert orphans == [(0,)]
    assert rest.runs == Forgotten(rows=3)
    assert past.runs() == {newest}


def test_a_run_that_somebody_holds_is_left_for_the_next_time(past):
    held = past.run("failing", days=30)
    with psycopg.connect(past.url) as connection:
        connection.execute("SELECT 1 FROM dagster.runs FOR UPDATE")

        first = past.tidy()

    assert first.runs.rows == 0
    assert past.runs() == {held}
    assert past.tidy().runs.rows == 1


def test_events_that_a_half_deleted_run_left_go_and_those_of_living_runs_stay(past, monkeypatch):
    monkeypatch.setattr(keeping, "EVENTS_A_SLICE", 3)
    living = past.run("make_things", days=20, partition="b")
    lost = past.run("make_things", days=20, partition="a")
    past.run("make_things", days=1, partition="a")
    past.instance.run_storage.delete_run(lost)
    of_living = len(past.instance.all_logs(living))

    counted = past.tidy(dry_run=True)
    tidied = past.tidy()

    assert counted.events == tidied.events
    assert tidied.events.rows > 5
    assert len(past.instance.all_logs(living)) == of_living
    # What it planned is the latest plan of a partition no more; nothing of it is left.
    assert past.instance.all_logs(lost) == []


def test_an_event_outside_of_runs_stays_as_long_as_it_is_the_latest(past):
    for _ in range(2):
        past.instance.report_runless_asset_event(dg.AssetMaterialization("loaded"))
    past.sql("UPDATE dagster.event_logs SET timestamp = timestamp - interval '90 days'")

    tidied = past.tidy()

    assert tidied.events.rows == 1
    assert past.instance.get_latest_materialization_event(dg.AssetKey("loaded")) is not None


def test_ticks_of_sensors_that_are_gone_go_in_the_end(past):
    past.sql(
        "INSERT INTO dagster.job_ticks (job_origin_id, status, type, timestamp) "
        "SELECT 'x', 'SKIPPED', 'SENSOR', now() - n * interval '1 day' "
        "FROM generate_series(40, 25, -1) n"
    )

    counted, tidied = past.tidy(dry_run=True), past.tidy()

    assert counted.ticks == tidied.ticks == Forgotten(rows=10)
    assert past.count("job_ticks") == 6


def test_age_is_told_in_the_zone_that_dagster_writes_in(past):
    """Dagster stores local times of the server's zone."""
    name = past.sql("SELECT current_database()")[0][0]
    with psycopg.connect(past.url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET timezone = 'Pacific/Kiritimati'")
    past.instance.event_log_storage._engine.dispose()  # its next connections are in the new zone
    past.run("failing", days=POLICY.failed_runs_for.days)
    past.sql("UPDATE dagster.runs SET update_timestamp = update_timestamp - interval '1 hour'")
    gone = past.tidy().runs.rows
    past.run("failing", days=POLICY.failed_runs_for.days)
    past.sql("UPDATE dagster.runs SET update_timestamp = update_timestamp + interval '1 hour'")

    assert gone == 1
    assert past.tidy().runs.rows == 0


def test_a_catalog_beside_which_dagster_never_ran_is_tidied_too(catalog_url):
    catalog = make_catalog(catalog_url)

    tidied = keeping.tidy(catalog, POLICY, now=system_clock(), stop=lambda: False)

    catalog.close()
    assert tidied.finished
    assert tidied.runs == Forgotten()


def test_the_job_forgets_and_says_how_much(past, monkeypatch):
    engine = Engine(catalog=past.catalog, rng=Random(1))
    monkeypatch.setattr(resources, "_engine", lambda: engine)
    past.run("failing", days=30)

    done = defs.resolve_job_def("housekeeping").execute_in_process(instance=past.instance)

    (output,) = (e for e in done.all_events if e.event_type is dg.DagsterEventType.STEP_OUTPUT)
    assert isinstance(output.event_specific_data, StepOutputData)
    metadata = output.event_specific_data.metadata
    assert metadata["runs"].value == 1
    assert metadata["finished"].value is True
    assert past.runs() == {done.run_id}


def test_stopping_before_it_begins_forgets_nothing(past):
    past.run("failing", days=30)

    tidied = past.tidy(stop=lambda: True)

    assert not tidied.finished
    assert past.count("runs") == 1
    assert tidied.executions.rows + tidied.runs.rows == 0


def test_history_is_kept_for_as_many_days_as_the_settings_say(monkeypatch):
    from sync_pipelines.settings import Settings

    usual = Settings(retention_days=30, run_retention_days=2).retention
    longer = Settings(retention_days=400, run_retention_days=60).retention

    assert usual == RetentionPolicy()
    assert longer.executions_for == timedelta(days=400)
    assert longer.runs_for == longer.failed_runs_for == timedelta(days=60)


def test_files_go_with_their_run_and_no_sooner(tmp_path):
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        kept = instance.create_run_for_job(job_def=empty_job).run_id
        gone, fresh = str(uuid4()), str(uuid4())
        now = datetime.now(UTC)
        for run_id, days in ((kept, 9), (gone, 9), (fresh, 0)):
            directory = Path(instance.storage_directory()) / run_id
            directory.mkdir(parents=True)
            at = (now - timedelta(days=days)).timestamp()
            os.utime(directory, (at, at))

        removed = forget_files(instance, before=now - timedelta(days=2))

        left = {path.name for path in Path(instance.storage_directory()).iterdir()}
    assert removed == 1
    assert {kept, fresh} <= left
    assert gone not in left


@dg.job
def empty_job():
    pass
