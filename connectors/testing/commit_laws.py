"""A destination's laws about commits: what is durable when, and for whom."""

# ruff: noqa: D102 - the name of a test is its docstring

from contextlib import closing
from dataclasses import replace

import pytest

from connectors.contract import (
    Batch,
    Committed,
    Counts,
    Destination,
    Encoding,
    Rejection,
    Target,
)
from connectors.errors import (
    TransientError,
)
from connectors.testing.features import Feature
from connectors.testing.rows import row, table
from connectors.testing.writing import (
    APPEND,
    DATASET,
    MODES,
    TABLE,
    UPSERT,
    DestinationSystem,
    Opened,
    put,
    seen,
    state,
    stored,
    writing,
)


class CommitLaws(Opened):
    """Data, counts and state become durable together, or not at all."""

    def test_a_check_says_in_one_line_what_answered(self, destination: Destination) -> None:
        said = destination.check()

        assert said.strip()
        assert "\n" not in said

    @MODES
    def test_arrow_is_always_accepted(self, destination: Destination, usual: Target) -> None:
        accepted = destination.encodings(usual)

        assert Encoding.ARROW in accepted
        assert len(set(accepted)) == len(accepted)

    # Commits

    @MODES
    def test_what_is_not_committed_is_invisible_and_leaves_nothing(
        self, system: DestinationSystem, destination: Destination, usual: Target
    ) -> None:
        """R64."""
        put(destination, usual, row(1), mark="one")
        tables = system.tables()
        later = replace(usual, execution="second")

        with writing(destination, later) as writer:
            writer.write(Batch(data=table(row(2), row(1, seconds=5, note="changed"))))
            during = stored(system)

        assert during == stored(system) == [row(1)]
        assert system.tables() == tables
        assert seen(destination, later).state == state("one")

    @MODES
    def test_a_first_write_that_is_not_committed_leaves_no_table(
        self, system: DestinationSystem, destination: Destination, usual: Target
    ) -> None:
        with writing(destination, usual) as writer:
            writer.write(Batch(data=table(row(1))))

        assert not stored(system)
        assert seen(destination, usual) == Committed(execution="first")

    @MODES
    def test_data_counts_and_state_move_together(
        self, system: DestinationSystem, destination: Destination, usual: Target
    ) -> None:
        """R56: the state moves with the data, not after it."""
        done = put(destination, usual, row(1), row(2), mark="two")

        assert stored(system) == [row(1), row(2)]
        assert done.state == state("two")
        assert (done.counts.processed, done.counts.created) == (2, 2)
        assert done.counts.bytes > 0
        assert done.committed_at is not None
        with closing(system.open()) as other:
            assert seen(other, usual) == done

    def test_reopening_goes_on_where_the_same_execution_ended(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        """R63: also its counts go on."""
        with writing(destination, UPSERT) as writer:
            writer.write(Batch(data=table(row(1), row(2))))
            writer.commit(state("two"))
            writer.write(Batch(data=table(row(3))))

        with writing(destination, UPSERT) as writer:
            before = writer.committed
            writer.write(Batch(data=table(row(2, seconds=9, note="changed"), row(4))))
            after = writer.commit(None, finished=True)

        assert (before.state, before.finished, before.counts.created) == (state("two"), False, 2)
        assert (after.state, after.finished) == (state("two"), True)
        assert (after.counts.processed, after.counts.created, after.counts.updated) == (4, 3, 1)
        assert stored(system) == [row(1), row(2, seconds=9, note="changed"), row(4)]

    def test_one_writer_commits_many_times(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        with writing(destination, APPEND) as writer:
            for number in range(3):
                writer.write(Batch(data=table(row(number, seconds=number))))
                done = writer.commit(state(str(number)))
                assert writer.committed == done
                assert stored(system) == [row(n, seconds=n) for n in range(number + 1)]

        assert seen(destination, APPEND).counts.created == 3
        assert seen(destination, APPEND).state == state("2")

    def test_another_execution_goes_on_from_the_state_with_counts_of_its_own(
        self, destination: Destination
    ) -> None:
        put(destination, UPSERT, row(1), mark="one")

        found = seen(destination, replace(UPSERT, execution="second"))

        assert found.state == state("one")
        assert (found.execution, found.finished, found.counts) == ("second", False, Counts())

    @MODES
    def test_an_execution_that_finished_is_recognised(
        self, destination: Destination, usual: Target
    ) -> None:
        put(destination, usual, row(1), mark="one")

        found = seen(destination, usual)

        assert found.finished
        assert (found.execution, found.counts.created) == ("first", 1)

    def test_a_restart_voids_the_state_of_another_execution_only(
        self, destination: Destination
    ) -> None:
        put(destination, UPSERT, row(1), mark="one")
        again = replace(UPSERT, execution="again", restart=True)

        at_first = seen(destination, again)
        with writing(destination, again) as writer:
            writer.write(Batch(data=table(row(1), row(2))))
            writer.commit(state("half"))
        later = seen(destination, again)

        assert at_first.state is None
        assert later.state == state("half")
        assert later.counts.created == 1

    def test_a_commit_without_records_moves_the_state(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        put(destination, UPSERT, row(1), mark="one")

        with writing(destination, replace(UPSERT, execution="second")) as writer:
            done = writer.commit(state("two"), finished=True)

        assert stored(system) == [row(1)]
        assert (done.state, done.counts.processed) == (state("two"), 0)

    @MODES
    def test_of_two_writers_the_second_to_commit_is_refused_and_leaves_nothing(
        self, system: DestinationSystem, destination: Destination, usual: Target
    ) -> None:
        """R74."""
        put(destination, usual, row(1), mark="one")
        with (
            closing(system.open()) as other,
            writing(other, replace(usual, execution="slow")) as slow,
        ):
            put(destination, replace(usual, execution="fast"), row(1), row(2), mark="two")

            with pytest.raises(TransientError):
                slow.write(Batch(data=table(row(1), row(3))))
                slow.commit(state("three"), finished=True)

        assert stored(system) == [row(1), row(2)]
        assert seen(destination, replace(usual, execution="fast")).state == state("two")

    def test_streams_and_owners_have_states_of_their_own(self, destination: Destination) -> None:
        """R127."""
        put(destination, UPSERT, row(1), mark="one")

        stream = seen(destination, replace(UPSERT, stream="other"))
        owner = seen(destination, replace(UPSERT, owner="rival/orders"))

        assert stream.state is None
        assert owner.state is None

    def test_a_state_whose_table_is_gone_is_void(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        """R66."""
        self.needs(Feature.DROP)
        put(destination, UPSERT, row(1), mark="one")

        system.drop(DATASET, TABLE)

        assert seen(destination, replace(UPSERT, execution="second")).state is None
        put(destination, replace(UPSERT, execution="second"), row(2))
        assert stored(system) == [row(2)]

    def test_rejected_records_are_counted(self, destination: Destination) -> None:
        """R65."""
        rejected = (Rejection(key="7", reason="no date"), Rejection(key="8", reason="no date"))

        with writing(destination, UPSERT) as writer:
            writer.write(Batch(data=table(row(1)), rejected=rejected))
            done = writer.commit(None, finished=True)

        assert (done.counts.processed, done.counts.rejected) == (1, 2)

    @MODES
    def test_closing_twice_is_harmless(self, destination: Destination, usual: Target) -> None:
        writer = destination.open(usual, Encoding.ARROW)
        writer.write(Batch(data=table(row(1))))

        for closed in (writer, writer, destination, destination):
            closed.close()
