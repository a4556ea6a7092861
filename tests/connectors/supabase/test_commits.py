"""Commits through an API: what is sent, whatever answers are lost and whoever else writes."""

from contextlib import closing
from dataclasses import replace

import pytest

from connectors import registry
from connectors.contract import Batch, Deletes, Encoding, WriteMode
from connectors.errors import ConfigError, TooManyDeletesError, TransientError
from connectors.http.outside import Outside
from connectors.sql.destination import SqlDestination
from connectors.testing.fake_api import first, html_page
from connectors.testing.rows import row, table
from connectors.testing.writing import UPSERT, put, seen, state, stored, writing
from tests.providers.postgrest import done_but_unheard, timed_out


def test_what_is_already_there_is_not_sent_again(system):
    with closing(system.open()) as destination:
        put(destination, UPSERT, row(1), row(2), mark="one")
        system.project.writes.clear()
        put(destination, replace(UPSERT, execution="second"), row(1), row(2), mark="two")

    assert [request.places["table"] for request in system.project.writes] == ["_sync_state"]


def test_data_whose_state_was_not_moved_are_written_once_more_and_change_nothing(system):
    """A process that dies between the two begins again at the state before."""
    with closing(system.open()) as destination:
        put(destination, UPSERT, row(1), mark="one")
        second = replace(UPSERT, execution="second")
        with writing(destination, second) as writer:
            writer.write(Batch(data=table(row(2), row(3))))
            # The state is asked for, then rows, then they are written, and then it breaks.
            system.project.api.at(4, *[timed_out] * 9)
            with pytest.raises(TransientError):
                writer.commit(state("two"))
        system.project.api.calm()
        half = stored(system)
        with writing(destination, second) as writer:
            before = writer.committed.state
            writer.write(Batch(data=table(row(2), row(3))))
            writer.commit(state("two"), finished=True)

    assert half == stored(system) == [row(1), row(2), row(3)]
    assert before == state("one")


@pytest.mark.parametrize("nth", range(1, 7))
@pytest.mark.parametrize("fault", [done_but_unheard, html_page])
def test_an_answer_that_is_lost_or_is_none_is_no_harm(system, fault, nth):
    """What was done is done again, and the state that is there is recognised as ours.

    A proxy's page with status 200 is no answer, even to a write: nothing was done.
    """
    with closing(system.open(Outside(sleep=lambda seconds: None))) as destination:
        put(destination, UPSERT, row(1), mark="one")
        with writing(destination, replace(UPSERT, execution="second")) as writer:
            writer.write(Batch(data=table(row(1, seconds=5, note="changed"), row(2))))
            system.project.api.at(nth, fault)
            done = writer.commit(state("two"), finished=True)

    assert done.state == state("two")
    assert stored(system) == [row(1, seconds=5, note="changed"), row(2)]


def test_a_state_that_somebody_moves_at_the_last_moment_is_not_overwritten(system):
    """R74."""
    theirs = "UPDATE shop._sync_state SET token = 'theirs'"
    with closing(system.open()) as destination:
        put(destination, UPSERT, row(1), mark="one")
        with writing(destination, replace(UPSERT, execution="second")) as writer:
            # The state is looked at, and then moved.
            system.project.api.at(2, first(lambda: system.project.run(theirs)))
            with pytest.raises(TransientError, match="was moved"):
                writer.commit(state("two"))

        assert seen(destination, replace(UPSERT, execution="third")).state == state("one")


def test_a_state_of_the_api_is_continued_by_the_database_and_back(system):
    """The state lies beside the data, in the same table of the same shape."""
    direct = registry.get("supabase").open_destination({"database": system.project.url})
    with closing(system.open()) as destination, closing(direct):
        put(destination, UPSERT, row(1), mark="one")
        assert isinstance(direct, SqlDestination)
        with writing(direct, replace(UPSERT, execution="second")) as writer:
            assert writer.committed.state == state("one")
        put(direct, replace(UPSERT, execution="second"), row(2), mark="two")

        with writing(destination, replace(UPSERT, execution="third")) as writer:
            assert writer.committed.state == state("two")


@pytest.mark.parametrize("mode", [WriteMode.APPEND, WriteMode.REPLACE])
def test_other_modes_are_refused_with_what_takes_them(system, mode):
    with closing(system.open()) as destination, pytest.raises(ConfigError, match="database"):
        destination.open(replace(UPSERT, write_mode=mode), Encoding.ARROW)


def test_too_many_deletions_are_refused_before_anything_is_sent(system):
    whole = replace(UPSERT, complete=True, deletes=Deletes.HARD)
    with closing(system.open()) as destination:
        put(destination, whole, *(row(n) for n in range(1, 51)))
        system.project.writes.clear()
        second = replace(whole, execution="second")

        with pytest.raises(TooManyDeletesError, match="11 of 50"):
            put(destination, second, row(1, 9, note="new"), *(row(n) for n in range(2, 40)))

    assert system.project.writes == []


def test_what_the_whole_read_brought_and_told_to_be_gone_is_gone(system):
    whole = replace(UPSERT, complete=True, deletes=Deletes.HARD)
    gone = table(row(2)).select(["id"])
    with closing(system.open()) as destination:
        put(destination, whole, row(1), row(2), row(3))
        with writing(destination, replace(whole, execution="second")) as writer:
            writer.write(Batch(data=table(row(1), row(2))))
            writer.commit(state("half"))
            writer.write(Batch(data=table(row(4)), deleted=gone))
            done = writer.commit(state("two"), finished=True)

    assert (done.counts.deleted, stored(system)) == (2, [row(1), row(4)])
