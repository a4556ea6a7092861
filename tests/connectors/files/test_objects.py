"""Which objects a read brings, in which order, and what it remembers of them."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.contract import Window
from tests.connectors.files.objects import NOON, batches, ids, write


def test_objects_come_in_the_order_of_their_times_and_then_their_names(tmp_path: Path) -> None:
    for name, minute in (("a", 3), ("b", 1), ("d", 2), ("c", 2)):
        write(tmp_path, f"{name}.csv", f"id\n{name}\n", minute=minute)

    assert ids(batches(tmp_path)) == ["b", "c", "d", "a"]


def test_a_changed_object_comes_again_and_an_unchanged_one_does_not(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", "id\n1\n")
    write(tmp_path, "b.csv", "id\n2\n")
    first = batches(tmp_path)
    write(tmp_path, "a.csv", "id\n1\n3\n", minute=5)

    second = batches(tmp_path, first[-1].state)
    third = batches(tmp_path, second[-1].state)

    assert ids(second) == ["1", "3"]
    assert ids(third) == []
    assert third[-1].state == second[-1].state


def test_an_object_that_arrives_late_with_an_old_time_is_seen(tmp_path: Path) -> None:
    write(tmp_path, "new.csv", "id\n1\n", minute=50)
    state = batches(tmp_path)[-1].state
    write(tmp_path, "moved here.csv", "id\n2\n", minute=-10_000)
    write(tmp_path, "same time.csv", "id\n3\n", minute=50)

    assert ids(batches(tmp_path, state)) == ["2", "3"]


def test_tracking_by_time_forgets_old_objects_and_still_sees_late_ones(tmp_path: Path) -> None:
    options: Any = {"tracking": "time", "late_hours": 1}
    write(tmp_path, "old.csv", "id\n1\n", minute=0)
    write(tmp_path, "new.csv", "id\n2\n", minute=500)
    state = batches(tmp_path, **options)[-1].state
    write(tmp_path, "late.csv", "id\n3\n", minute=450)

    second = batches(tmp_path, state, **options)

    assert set(state.value["seen"]) == {"new.csv"}
    assert ids(second) == ["3"]


def test_a_time_in_the_future_hides_nothing_from_tracking_by_time(tmp_path: Path) -> None:
    options: Any = {"tracking": "time", "late_hours": 1}
    write(tmp_path, "a.csv", "id\n1\n", minute=1_000_000)
    state = batches(tmp_path, **options)[-1].state
    write(tmp_path, "b.csv", "id\n2\n", minute=601)

    assert ids(batches(tmp_path, state, now=602, **options)) == ["2"]


def test_what_is_deleted_is_forgotten_and_may_come_back(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "id\n1\n")
    write(tmp_path, "b.csv", "id\n2\n")
    state = batches(tmp_path)[-1].state
    path.unlink()
    without = batches(tmp_path, state)
    write(tmp_path, "a.csv", "id\n1\n")

    assert ids(without) == []
    assert set(without[-1].state.value["seen"]) == {"b.csv"}
    assert ids(batches(tmp_path, without[-1].state)) == ["1"]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(2, 4, ["2", "3"]), (None, 2, ["0", "1"]), (3, None, ["3", "4"])],
)
def test_a_window_bounds_the_times_of_objects_and_moves_no_state(
    tmp_path: Path, start: int | None, end: int | None, expected: list[str]
) -> None:
    for minute in range(5):
        write(tmp_path, f"{minute}.csv", f"id\n{minute}\n", minute=minute)
    bounds = [
        None if m is None else (NOON + timedelta(minutes=m)).isoformat() for m in (start, end)
    ]

    found = batches(tmp_path, window=Window(start=bounds[0], end=bounds[1]))

    assert ids(found) == expected
    assert all(batch.state is None for batch in found)


def test_a_lag_reads_objects_of_that_time_again(tmp_path: Path) -> None:
    for minute in (0, 50, 60):
        write(tmp_path, f"{minute}.csv", f"id\n{minute}\n", minute=minute)
    state = batches(tmp_path)[-1].state

    assert ids(batches(tmp_path, state, lag=15)) == ["50", "60"]
