"""What a commit makes durable, wherever the process dies and whoever else writes."""

from contextlib import closing, suppress
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest

from connectors.contract import Counts, Deletes, Encoding, Greatest, State, WriteMode
from connectors.errors import ConfigError, ContractError, TransientError
from connectors.sql.config import Dialect
from connectors.sql.destination import SqlDestination
from tests.connectors.sql_destination.house import House, row, states


@pytest.mark.parametrize(
    "whole",
    [{"write_mode": WriteMode.REPLACE}, {"write_mode": WriteMode.APPEND, "distinct": False}],
)
def test_what_is_written_as_a_whole_takes_one_commit_only(
    house: House, whole: dict[str, Any]
) -> None:
    with closing(house.open(house.target(**whole))) as writer:
        writer.write(house.batch([row(1, "a")]))

        with pytest.raises(ContractError, match="one commit"):
            writer.commit(State(version=1, value={}))


def test_a_writer_whose_state_was_moved_commits_nothing(house: House) -> None:
    """R74, R75."""
    house.sync(house.target(), row(1, "a"))
    with (
        closing(house.open(house.target(execution="late"))) as late,
        closing(house.open(house.target(execution="early"))) as early,
    ):
        early.write(house.batch([row(2, "early")]))
        early.commit(State(version=1, value={"watermark": "early"}))
        late.write(house.batch([row(3, "late")]))

        with pytest.raises(TransientError):
            late.commit(State(version=1, value={"watermark": "late"}))

    assert house.rows() == [(1, "a"), (2, "early")]
    with closing(house.open(house.target(execution="next"))) as writer:
        assert writer.committed.state == State(version=1, value={"watermark": "early"})


def test_of_two_first_writers_that_both_have_staged_one_commits(house: House) -> None:
    """R74, R75."""
    with (
        closing(house.open(house.target(execution="one"))) as one,
        closing(house.open(house.target(execution="two"))) as two,
    ):
        one.write(house.batch([row(1, "one")]))
        two.write(house.batch([row(1, "two"), row(2, "two")]))
        one.commit(State(version=1, value={"watermark": "one"}))

        with pytest.raises(TransientError):
            two.commit(State(version=1, value={"watermark": "two"}))

    assert house.rows() == [(1, "one")]


def test_a_failed_commit_makes_the_writer_useless(house: House) -> None:
    with (
        closing(house.open(house.target(execution="one"))) as one,
        closing(house.open(house.target(execution="two"))) as two,
    ):
        one.commit(None, finished=True)
        with pytest.raises(TransientError):
            two.commit(None, finished=True)

        with pytest.raises(ContractError, match="open another"):
            two.write(house.batch([row(1, "a")]))


def test_an_execution_that_returns_after_its_finishing_commit_sees_it(house: House) -> None:
    """R56."""
    state = State(version=1, value={"watermark": "2026-05-01"})
    with closing(house.open(house.target())) as writer:
        writer.write(house.batch([row(1, "a")]))
        writer.commit(state)
        done = writer.commit(None, finished=True)

    with closing(house.open(house.target())) as returned:
        assert returned.committed == done
        assert returned.committed.finished
        assert returned.committed.state == state
        assert returned.committed.counts.created == 1
    with closing(house.open(house.target(execution="second"))) as fresh:
        assert not fresh.committed.finished
        assert fresh.committed.state == state
        assert fresh.committed.counts == Counts()


def test_counts_go_on_when_an_execution_that_died_returns(house: House) -> None:
    """R63."""
    with closing(house.open(house.target())) as writer:
        writer.write(house.batch([row(1, "a")]))
        writer.commit(State(version=1, value={"watermark": "1"}))
        writer.write(house.batch([row(2, "lost")]))

    with closing(house.open(house.target())) as returned:
        assert returned.committed.state == State(version=1, value={"watermark": "1"})
        returned.write(house.batch([row(1, "a"), row(2, "b")]))
        counts = returned.commit(None, finished=True).counts

    assert (counts.processed, counts.created, counts.updated) == (3, 2, 0)
    assert house.rows() == [(1, "a"), (2, "b")]


def test_a_writer_that_is_closed_without_a_commit_leaves_nothing(house: House) -> None:
    """R64."""
    with closing(house.open(house.target())) as writer:
        writer.write(house.batch([row(1, "a")]))

    destination = SqlDestination(house.config)
    with closing(destination), pytest.raises(ConfigError):
        destination.read_table(house.dataset, "orders")
    assert house.query(f"SELECT count(*) FROM {states(house)}") == [(0,)]


def test_a_state_whose_table_is_gone_is_void(house: House) -> None:
    """R66."""
    with closing(house.open(house.target())) as writer:
        writer.write(house.batch([row(1, "a")]))
        writer.commit(State(version=1, value={"watermark": "1"}), finished=True)
    house.query(f"DROP TABLE {house.table()}")

    with closing(house.open(house.target())) as writer:
        assert writer.committed.state is None
        assert not writer.committed.finished
        writer.write(house.batch([row(1, "a")]))
        counts = writer.commit(None, finished=True).counts

    assert counts.created == 1
    assert house.rows() == [(1, "a")]


def test_a_state_that_somebody_spoilt_is_void_and_mended_by_the_next_commit(house: House) -> None:
    """R66, R152."""
    with closing(house.open(house.target())) as writer:
        writer.write(house.batch([row(1, "a")]))
        writer.commit(State(version=1, value={"watermark": "1"}), finished=True)
    house.query(f"UPDATE {states(house)} SET value = 'no json', counts = '['")

    with closing(house.open(house.target(execution="second"))) as writer:
        spoilt = writer.committed.state
        writer.write(house.batch([row(1, "a"), row(2, "b")]))
        mended = writer.commit(State(version=1, value={"watermark": "2"}), finished=True)

    assert spoilt is None
    assert (mended.state, mended.counts.created) == (State(version=1, value={"watermark": "2"}), 1)


def test_a_restart_begins_at_the_beginning_but_goes_on_with_its_own_work(house: House) -> None:
    house.sync(house.target(), row(1, "a"))
    with closing(house.open(house.target(execution="second"))) as writer:
        writer.commit(State(version=1, value={"watermark": "9"}), finished=True)
    anew = house.target(execution="third", restart=True)

    with closing(house.open(anew)) as writer:
        begun = writer.committed.state
        writer.write(house.batch([row(2, "b")]))
        writer.commit(State(version=1, value={"watermark": "3"}))
    with closing(house.open(anew)) as writer:
        resumed = writer.committed.state

    assert begun is None
    assert resumed == State(version=1, value={"watermark": "3"})


def test_the_first_load_of_a_table_may_be_committed_in_parts(house: House) -> None:
    """R63."""
    with closing(house.open(house.target())) as writer:
        for part in range(3):
            writer.write(house.batch([row(part, "x"), row(part + 1, "y", 1)]))
            writer.commit(State(version=1, value={"watermark": str(part)}))
        counts = writer.commit(None, finished=True).counts

    assert (counts.processed, counts.created, counts.updated) == (6, 4, 0)
    assert house.rows() == [(0, "x"), (1, "y"), (2, "y"), (3, "y")]


class Killed(BaseException):
    """The process is no more."""


def _dies_after(monkeypatch: pytest.MonkeyPatch, store: type, statements: int) -> list[int]:
    """Let the process die right after so many statements were run; tells how many were."""
    ran = [0]

    def dying(name: str) -> Any:
        original = getattr(store, name)

        def call(self: Any, *arguments: Any) -> Any:
            result = original(self, *arguments)
            ran[0] += 1
            if ran[0] == statements:
                raise Killed
            return result

        return call

    for name in ("execute", "rows", "stage"):
        monkeypatch.setattr(store, name, dying(name))
    return ran


def _store_of(house: House) -> type:
    module = import_module(f"connectors.sql.{_MODULES[house.config.dialect]}.writer")
    store: type = getattr(module, f"{_MODULES[house.config.dialect].capitalize()}Store")
    return store


_MODULES = {Dialect.POSTGRESQL: "postgres", Dialect.SQLITE: "sqlite", Dialect.DUCKDB: "duckdb"}
OLD = [row(1, "a", 1), row(2, "b", 1), row(3, "c", 1)]
NEW = [row(2, "b", 1), row(3, "C", 2), row(4, "d", 2)]
AFTER = {
    WriteMode.UPSERT: ([(2, "b"), (3, "C"), (4, "d")], (1, 1, 1)),
    WriteMode.APPEND: ([(1, "a"), (2, "b"), (3, "C"), (3, "c"), (4, "d")], (2, 0, 0)),
    WriteMode.REPLACE: ([(2, "b"), (3, "C"), (4, "d")], (3, 0, 0)),
}


@pytest.mark.parametrize("mode", WriteMode)
def test_a_process_may_die_after_any_statement_and_nothing_is_lost_or_done_twice(
    house: House, mode: WriteMode
) -> None:
    """R56, R63, R64, R70."""
    rows, counts = AFTER[mode]
    deletes = Deletes.HARD if mode is WriteMode.UPSERT else Deletes.KEEP
    before = sorted(one[:2] for one in OLD)
    deaths = 0

    while True:
        here = replace(house, dataset=f"{house.dataset}_{deaths}")
        target = here.target(write_mode=mode, deletes=deletes, complete=True)
        here.sync(target, *OLD)
        again = replace(target, execution="second")
        with pytest.MonkeyPatch.context() as patch:
            ran = _dies_after(patch, _store_of(house), deaths + 1)
            with suppress(Killed):
                here.sync(again, *NEW)
        if ran[0] <= deaths:
            break
        deaths += 1
        seen = sorted(here.rows())
        with closing(here.open(again)) as writer:
            finished = writer.committed.finished
            done = writer.committed.counts
        if not finished:
            done = here.sync(again, *NEW)

        assert seen == (rows if finished else before)
        assert sorted(here.rows()) == rows
        assert (done.created, done.updated, done.deleted) == counts
        assert done.processed == 3

    assert deaths > 5


def test_a_connection_that_the_server_ends_leaves_nothing(postgres: House) -> None:
    """R93."""
    postgres.sync(postgres.target(), row(1, "a"))
    with closing(postgres.open(postgres.target(execution="second"))) as writer:
        writer.write(postgres.batch([row(2, "b")]))
        postgres.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

        with pytest.raises(TransientError):
            writer.commit(None, finished=True)

    assert postgres.rows() == [(1, "a")]


def test_a_state_of_another_cursor_does_not_stop_the_watermark(postgres: House) -> None:
    """R66."""
    copy = replace(postgres, encoding=Encoding.PGCOPY)
    with closing(copy.open(copy.target())) as writer:
        writer.commit(State(version=1, value={"watermark": "not a time"}), finished=True)

    with closing(copy.open(copy.target(execution="second"))) as writer:
        writer.write(copy.batch([row(1, "a")]))
        state = writer.commit(Greatest(column="at", version=1), finished=True).state

    assert state is not None
    assert state.watermark == "2026-05-01T12:00:00.000000+00:00"


def test_a_stream_whose_table_is_gone_is_not_taken_for_finished(house: House) -> None:
    """R66: also where there is no position to lose."""
    target = house.target(write_mode=WriteMode.REPLACE, complete=True)
    with closing(house.open(target)) as writer:
        writer.write(house.batch([row(1, "a")]))
        writer.commit(None, finished=True)
    house.query(f"DROP TABLE {house.table()}")

    with closing(house.open(target)) as writer:
        assert not writer.committed.finished
