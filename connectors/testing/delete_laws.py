"""A destination's laws about deleting much at once: it stops for a person."""

# ruff: noqa: D102 - the name of a test is its docstring

from dataclasses import replace

import pyarrow as pa
import pytest

from connectors.contract import Batch, Deletes, Destination, Target, WriteMode
from connectors.errors import TooManyDeletesError
from connectors.testing.features import Feature
from connectors.testing.rows import SCHEMA, Row, row, table
from connectors.testing.writing import (
    DATASET,
    TABLE,
    DestinationSystem,
    Opened,
    put,
    seen,
    state,
    stored,
    target,
    writing,
)

WHOLE = target(WriteMode.UPSERT, complete=True, distinct=False)
TOLD = target(WriteMode.UPSERT)
KINDS = pytest.mark.parametrize("deletes", [Deletes.HARD, Deletes.SOFT])


def alive(system: DestinationSystem) -> int:
    """Records that are neither gone nor marked."""
    records = system.records(DATASET, TABLE) or []
    return sum(record.get("_deleted_at") is None for record in records)


def told(*numbers: int, rows: tuple[Row, ...] = ()) -> Batch:
    """Records, and the keys of others that are gone since."""
    keys = pa.table({"id": pa.array(numbers, pa.int64())})
    return Batch(data=table(*rows) if rows else SCHEMA.empty_table(), deleted=keys)


def tell(destination: Destination, to: Target, *batches: Batch) -> int:
    """Write batches, and finish; how many records that deleted."""
    with writing(destination, to) as writer:
        for batch in batches:
            writer.write(batch)
        return writer.commit(state("2"), finished=True).counts.deleted


class ToldDeleteLaws(Opened):
    """What a source says is gone goes with the commit, and comes back if it comes again."""

    @KINDS
    def test_what_the_source_says_is_gone_goes(
        self, system: DestinationSystem, destination: Destination, deletes: Deletes
    ) -> None:
        self.needs(Feature.TOLD_DELETES)
        put(destination, TOLD, row(1), row(2), row(3))
        second = replace(TOLD, execution="second", deletes=deletes)

        first = tell(destination, second, told(2, 9, rows=(row(4),)))
        again = tell(destination, replace(second, execution="third"), told(2, 9))

        assert (first, again) == (1, 0)
        assert alive(system) == 3
        records = system.records(DATASET, TABLE) or []
        assert len(records) == (4 if deletes is Deletes.SOFT else 3)
        gone = [one["id"] for one in records if one.get("_deleted_at") is not None]
        assert gone == ([2] if deletes is Deletes.SOFT else [])

    @KINDS
    def test_a_record_that_is_gone_after_it_came_is_gone_and_one_that_came_after_is_there(
        self, system: DestinationSystem, destination: Destination, deletes: Deletes
    ) -> None:
        self.needs(Feature.TOLD_DELETES)
        put(destination, TOLD, row(1))
        second = replace(TOLD, execution="second", deletes=deletes)

        tell(destination, second, told(1, 5, rows=(row(4), row(5))), told(4, rows=(row(1),)))

        assert alive(system) == 1
        records = system.records(DATASET, TABLE) or []
        assert [one["id"] for one in records if one.get("_deleted_at") is None] == [1]

    def test_a_record_that_is_gone_and_comes_again_later_is_there(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        self.needs(Feature.TOLD_DELETES)
        soft = replace(TOLD, deletes=Deletes.SOFT)
        put(destination, soft, row(1), row(2))
        tell(destination, replace(soft, execution="second"), told(1))

        put(destination, replace(soft, execution="third"), row(1, 9))

        assert alive(system) == 2

    def test_nothing_is_gone_before_the_commit(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        self.needs(Feature.TOLD_DELETES)
        hard = replace(TOLD, deletes=Deletes.HARD)
        put(destination, hard, row(1), row(2))

        with writing(destination, replace(hard, execution="second")) as writer:
            writer.write(told(1))

        assert stored(system) == [row(1), row(2)]

    def test_a_first_load_with_deletions_has_what_is_left(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        self.needs(Feature.TOLD_DELETES)
        hard = replace(TOLD, deletes=Deletes.HARD)

        tell(destination, hard, told(2, rows=(row(1), row(2), row(3))))

        assert stored(system) == [row(1), row(3)]

    @pytest.mark.parametrize("mode", [WriteMode.APPEND, WriteMode.UPSERT])
    def test_what_is_kept_stays_whatever_the_source_says(
        self, system: DestinationSystem, destination: Destination, mode: WriteMode
    ) -> None:
        kept = target(mode)
        put(destination, kept, row(1), row(2))

        assert tell(destination, replace(kept, execution="second"), told(1)) == 0
        assert stored(system) == [row(1), row(2)]

    def test_deletions_of_several_commits_are_held_against_the_dataset_together(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        self.needs(Feature.TOLD_DELETES)
        hard = replace(TOLD, deletes=Deletes.HARD)
        put(destination, hard, *(row(n) for n in range(1, 51)))

        with writing(destination, replace(hard, execution="second")) as writer:
            writer.write(told(*range(1, 9)))
            writer.commit(state("2"))
            writer.write(told(*range(9, 14)))
            with pytest.raises(TooManyDeletesError, match="13 of 50 records"):
                writer.commit(state("3"), finished=True)

        assert alive(system) == 42


class DeleteLaws(ToldDeleteLaws):
    """More than a fifth of a dataset, and more than ten records, are not deleted unasked."""

    @KINDS
    def test_too_many_deletions_change_nothing_until_they_are_confirmed(
        self, system: DestinationSystem, destination: Destination, deletes: Deletes
    ) -> None:
        whole = replace(WHOLE, deletes=deletes)
        put(destination, whole, *(row(n) for n in range(1, 51)), mark="1")
        second = replace(whole, execution="second")
        left = [row(n) for n in range(1, 40)]

        with pytest.raises(TooManyDeletesError, match="11 of 50 records of 'orders' are gone"):
            put(destination, second, *left, mark="2")
        refused = alive(system)
        mark = seen(destination, second).state
        done = put(destination, replace(second, confirm_deletes=True), *left, mark="2")

        assert (refused, alive(system), done.counts.deleted) == (50, 39, 11)
        assert mark is not None
        assert mark.watermark == "1"

    @KINDS
    def test_a_fifth_is_deleted_without_asking(
        self, system: DestinationSystem, destination: Destination, deletes: Deletes
    ) -> None:
        whole = replace(WHOLE, deletes=deletes)
        put(destination, whole, *(row(n) for n in range(1, 61)))

        done = put(destination, replace(whole, execution="second"), *map(row, range(1, 49)))

        assert (alive(system), done.counts.deleted) == (48, 12)

    def test_ten_records_are_deleted_however_few_there_are(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        whole = replace(WHOLE, deletes=Deletes.HARD)
        put(destination, whole, *(row(n) for n in range(1, 12)))

        done = put(destination, replace(whole, execution="second"), row(1))

        assert (alive(system), done.counts.deleted) == (1, 10)

    def test_a_source_that_may_be_empty_empties_the_dataset(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        whole = replace(WHOLE, deletes=Deletes.HARD)
        put(destination, whole, *(row(n) for n in range(1, 31)))

        done = put(destination, replace(whole, execution="second", allow_empty=True))

        assert (alive(system), done.counts.deleted) == (0, 30)

    def test_the_share_may_be_another(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        whole = replace(WHOLE, deletes=Deletes.HARD, most_deleted_percent=50)
        put(destination, whole, *(row(n) for n in range(1, 41)))

        done = put(destination, replace(whole, execution="second"), *map(row, range(1, 21)))

        assert (alive(system), done.counts.deleted) == (20, 20)
