"""Rejected records in a project: kept once each, until they have arrived."""

from contextlib import closing
from dataclasses import replace

import pytest

from connectors.contract import Batch, Rejection
from connectors.errors import TransientError
from connectors.http.outside import Outside
from connectors.rejected import read_rejected
from connectors.testing.rows import row, table
from connectors.testing.writing import UPSERT, state, stored, writing
from tests.providers.postgrest import done_but_unheard, timed_out

BAD = Rejection(key="7", reason="no 'number'", payload="{}")


@pytest.mark.parametrize("nth", range(1, 13))
def test_rejected_records_are_there_once_whatever_answer_is_lost(system, nth):
    with closing(system.open(Outside(sleep=lambda seconds: None))) as destination:
        for execution in ("first", "second"):
            with writing(destination, replace(UPSERT, execution=execution)) as writer:
                writer.write(Batch(data=table(row(1)), rejected=(BAD,)))
                system.project.api.at(nth, done_but_unheard)
                writer.commit(state(execution), finished=True)
                system.project.api.calm()

        [kept] = read_rejected(destination, "shop", owner=UPSERT.owner)

    assert kept.execution == "second"


def test_a_record_that_is_sent_again_is_kept_until_it_has_arrived(system):
    """A process that dies before the state moves finds the record again."""
    with closing(system.open()) as destination:
        with writing(destination, UPSERT) as writer:
            writer.write(Batch(data=table(row(1)), rejected=(BAD,)))
            writer.commit(state("one"), finished=True)
        [kept] = read_rejected(destination, "shop", owner=UPSERT.owner)
        again = replace(UPSERT, execution="second", redriven=(kept.id,))
        with writing(destination, again) as writer:
            writer.write(Batch(data=table(row(7))))
            # The state, the row, its upsert; then nothing is answered any more.
            system.project.api.at(3, *[timed_out] * 9)
            with pytest.raises(TransientError):
                writer.commit(None, finished=True)
        system.project.api.calm()
        half = read_rejected(destination, "shop", owner=UPSERT.owner)
        with writing(destination, again) as writer:
            writer.write(Batch(data=table(row(7))))
            writer.commit(None, finished=True)

        left = read_rejected(destination, "shop", owner=UPSERT.owner)

    assert [one.id for one in half] == [kept.id]
    assert (list(left), stored(system)) == ([], [row(1), row(7)])


def test_a_whole_read_clears_away_what_earlier_ones_had_rejected(system):
    whole = replace(UPSERT, complete=True)
    with closing(system.open()) as destination:
        for execution, rejected in (("first", (BAD,)), ("second", ())):
            with writing(destination, replace(whole, execution=execution)) as writer:
                writer.write(Batch(data=table(row(1)), rejected=rejected))
                writer.commit(None, finished=True)

        assert list(read_rejected(destination, "shop", owner=UPSERT.owner)) == []
