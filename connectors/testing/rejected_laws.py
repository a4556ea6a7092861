"""A destination's laws about records that cannot be used: kept beside the data, with it."""

# ruff: noqa: D102 - the name of a test is its docstring

from dataclasses import replace

import pyarrow as pa

from connectors.contract import Batch, Destination, Rejection, Target
from connectors.payload import NO_KEY
from connectors.rejected import RejectedRecord, read_rejected
from connectors.testing.features import Feature
from connectors.testing.rows import SCHEMA, row, table
from connectors.testing.writing import (
    DATASET,
    MODES,
    REPLACE,
    UPSERT,
    DestinationSystem,
    Opened,
    put_tables,
    stored,
    writing,
)

BAD = Rejection(key="7", reason="no 'number'", payload='{"id":7,"note":"ü\\u0000\'"}')


def aside(destination: Destination) -> list[RejectedRecord]:
    """What the suite's own sync has had rejected."""
    return list(read_rejected(destination, DATASET, owner=UPSERT.owner))


class RejectedLaws(Opened):
    """What a destination does with the records that it is told of, or finds unusable."""

    @MODES
    def test_a_rejected_record_is_kept_with_its_key_reason_and_content(
        self, system: DestinationSystem, destination: Destination, usual: Target
    ) -> None:
        self.needs(Feature.REJECTED)
        with writing(destination, usual) as writer:
            writer.write(Batch(data=table(row(1)), rejected=(BAD,)))
            done = writer.commit(None, finished=True)

        (found,) = aside(destination)
        assert (found.stream, found.execution) == (usual.stream, usual.execution)
        assert (found.key, found.reason, found.payload) == (BAD.key, BAD.reason, BAD.payload)
        assert (done.counts.rejected, done.counts.processed) == (1, 1)
        assert done.committed_at is not None
        assert abs((found.rejected_at - done.committed_at).total_seconds()) < 60
        assert stored(system) == [row(1)]

    def test_it_is_kept_with_the_commit_and_not_before(self, destination: Destination) -> None:
        """A record that is read again after a crash is not there twice."""
        self.needs(Feature.REJECTED)
        with writing(destination, UPSERT) as writer:
            writer.write(Batch(data=table(row(1)), rejected=(BAD,)))

        assert aside(destination) == []

    def test_a_batch_of_nothing_but_rejected_records_keeps_them(
        self, destination: Destination
    ) -> None:
        self.needs(Feature.REJECTED)
        with writing(destination, UPSERT) as writer:
            writer.write(Batch(data=SCHEMA.empty_table(), rejected=(BAD,)))
            writer.commit(None, finished=True)

        assert [found.key for found in aside(destination)] == ["7"]

    def test_a_record_that_is_rejected_again_is_there_once(self, destination: Destination) -> None:
        """An incremental read brings the records at its edge every time."""
        self.needs(Feature.REJECTED)
        for execution in ("first", "second"):
            with writing(destination, replace(UPSERT, execution=execution)) as writer:
                writer.write(Batch(data=table(row(1)), rejected=(BAD,)))
                writer.commit(None, finished=True)

        (found,) = aside(destination)
        assert found.execution == "second"

    def test_a_record_without_a_key_is_kept_with_its_content(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        self.needs(Feature.REJECTED)
        keyless = [{"id": None, "changed_at": None, "note": "lost"}]
        data = pa.Table.from_pylist(keyless, schema=SCHEMA)

        done = put_tables(destination, UPSERT, pa.concat_tables([table(row(1)), data]))

        (found,) = aside(destination)
        assert (found.key, found.is_replayable) == (NO_KEY, False)
        assert '"note":"lost"' in str(found.payload)
        assert done.counts.rejected == 1
        assert stored(system) == [row(1)]

    def test_what_is_sent_through_again_goes_with_the_commit_that_brings_it(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        self.needs(Feature.REJECTED)
        with writing(destination, UPSERT) as writer:
            other = replace(BAD, key="8")
            writer.write(Batch(data=table(row(1)), rejected=(BAD, other)))
            writer.commit(None, finished=True)
        ids = tuple(found.id for found in aside(destination))
        again = replace(UPSERT, execution="second", redriven=ids)

        with writing(destination, again) as writer:
            writer.write(Batch(data=table(row(7)), rejected=(other,)))
            assert len(aside(destination)) == 2
            writer.commit(None, finished=True)

        assert [(found.key, found.execution) for found in aside(destination)] == [("8", "second")]
        assert stored(system) == [row(1), row(7)]

    def test_a_whole_read_replaces_what_earlier_ones_had_rejected(
        self, destination: Destination
    ) -> None:
        self.needs(Feature.REJECTED)
        for execution, rejected in (("first", (BAD,)), ("second", ())):
            with writing(destination, replace(REPLACE, execution=execution)) as writer:
                writer.write(Batch(data=table(row(1)), rejected=rejected))
                writer.commit(None, finished=True)

        assert aside(destination) == []

    def test_another_sync_of_the_dataset_keeps_its_own(self, destination: Destination) -> None:
        self.needs(Feature.REJECTED)
        other = replace(REPLACE, owner="acme/other", table="others")
        with writing(destination, other) as writer:
            writer.write(Batch(data=table(row(1)), rejected=(BAD,)))
            writer.commit(None, finished=True)

        put_tables(destination, REPLACE, table(row(1)))

        assert [found.key for found in read_rejected(destination, DATASET, owner=other.owner)] == [
            "7"
        ]

    def test_very_many_are_counted_and_the_first_are_kept(self, destination: Destination) -> None:
        self.needs(Feature.REJECTED)
        many = tuple(replace(BAD, key=str(n)) for n in range(10_003))

        with writing(destination, UPSERT) as writer:
            writer.write(Batch(data=table(row(1)), rejected=many))
            done = writer.commit(None, finished=True)

        found = aside(destination)
        assert done.counts.rejected == 10_003
        assert len(found) == 10_001
        assert "(3 more)" in {one.key for one in found}
