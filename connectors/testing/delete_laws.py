"""A destination's laws about deleting much at once: it stops for a person."""

# ruff: noqa: D102 - the name of a test is its docstring

from dataclasses import replace

import pytest

from connectors.contract import Deletes, Destination, WriteMode
from connectors.errors import TooManyDeletesError
from connectors.testing.rows import row
from connectors.testing.writing import (
    DATASET,
    TABLE,
    DestinationSystem,
    Opened,
    put,
    seen,
    target,
)

WHOLE = target(WriteMode.UPSERT, complete=True, distinct=False)
KINDS = pytest.mark.parametrize("deletes", [Deletes.HARD, Deletes.SOFT])


def alive(system: DestinationSystem) -> int:
    """Records that are neither gone nor marked."""
    records = system.records(DATASET, TABLE) or []
    return sum(record.get("_deleted_at") is None for record in records)


class DeleteLaws(Opened):
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
