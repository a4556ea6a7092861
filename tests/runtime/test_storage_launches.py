"""Law 2: a launch has one run at most, whoever asks for it."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import psycopg
import pytest
from dagster import DagsterRun
from dagster._core.errors import DagsterRunAlreadyExists

from sync_pipelines.engine.run_tags import LAUNCH
from sync_pipelines.runtime.storage import CatalogStorage
from tests.runtime.dagster_jobs import dispose


def run_of(launch: str | None, *, repeats: str | None = None) -> DagsterRun:
    return DagsterRun(
        job_name="trivial",
        tags={} if launch is None else {LAUNCH: launch},
        parent_run_id=repeats,
        root_run_id=repeats,
    )


def test_of_two_processes_that_ask_for_a_run_of_one_launch_one_is_refused(
    empty_postgres_url: str,
):
    """Law 2: whoever asks, however late, and whatever each has looked up before."""
    storages = [CatalogStorage(empty_postgres_url) for _ in range(2)]
    launches = [f"execution-{number}:1:0" for number in range(20)]
    meeting = Barrier(2)

    def ask(storage: CatalogStorage) -> list[str]:
        got = []
        for launch in launches:
            meeting.wait(20)
            try:
                storage.run_storage.add_run(run_of(launch))
            except DagsterRunAlreadyExists:
                continue
            got.append(launch)
        return got

    with ThreadPoolExecutor(2) as pool:
        added = [launch for got in pool.map(ask, storages) for launch in got]
    kept = [run.tags[LAUNCH] for run in storages[0].run_storage.get_runs()]

    dispose(*storages)
    assert sorted(added) == sorted(launches)
    assert sorted(kept) == sorted(launches)


def test_a_run_that_was_refused_leaves_nothing_behind(empty_postgres_url: str):
    """A run without its tags would wait for ever: nobody would know whose it is."""
    storage = CatalogStorage(empty_postgres_url)
    first = storage.run_storage.add_run(run_of("one"))

    with pytest.raises(DagsterRunAlreadyExists, match="launch one has a run already"):
        storage.run_storage.add_run(run_of("one"))

    left = [run.run_id for run in storage.run_storage.get_runs()]
    with psycopg.connect(empty_postgres_url) as connection:
        tagged = connection.execute("SELECT DISTINCT run_id FROM dagster.run_tags").fetchall()
    dispose(storage)
    assert left == [first.run_id]
    assert tagged == [(first.run_id,)]


def test_a_launch_whose_run_was_unmade_may_have_another(empty_postgres_url: str):
    """What `dispatch_events` does with a run that was made but never queued."""
    storage = CatalogStorage(empty_postgres_url)
    abandoned = storage.run_storage.add_run(run_of("one"))
    storage.run_storage.delete_run(abandoned.run_id)

    another = storage.run_storage.add_run(run_of("one"))

    left = [run.run_id for run in storage.run_storage.get_runs()]
    dispose(storage)
    assert left == [another.run_id]


def test_what_is_no_launch_of_ours_has_as_many_runs_as_people_want(empty_postgres_url: str):
    """Those started by hand, and those that repeat a run, with all of its tags."""
    storage = CatalogStorage(empty_postgres_url)
    first = storage.run_storage.add_run(run_of("one")).run_id

    for run in (
        run_of("one", repeats=first),
        run_of("one", repeats=first),
        run_of(None),
        run_of(None),
    ):
        storage.run_storage.add_run(run)

    count = storage.run_storage.get_runs_count()
    dispose(storage)
    assert count == 5


def test_a_database_from_before_launches_were_kept_gets_their_table(empty_postgres_url: str):
    older = CatalogStorage(empty_postgres_url)
    older.run_storage.add_run(run_of("old"))
    with psycopg.connect(empty_postgres_url, autocommit=True) as connection:
        connection.execute("DROP TABLE dagster.sync_launches")

    storage = CatalogStorage(empty_postgres_url)
    storage.run_storage.add_run(run_of("new"))

    with pytest.raises(DagsterRunAlreadyExists):
        storage.run_storage.add_run(run_of("new"))
    count = storage.run_storage.get_runs_count()
    dispose(older, storage)
    assert count == 2
