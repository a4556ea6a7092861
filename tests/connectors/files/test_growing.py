"""Objects that are still being written: what waits, what is read in part, and what is read anew."""

import gzip
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.contract import SyncMode
from connectors.errors import TransientError
from tests.connectors.files.objects import batches, ids, write
from tests.connectors.files.reading import reading


def test_an_object_that_was_just_changed_waits_for_the_next_run(tmp_path: Path) -> None:
    write(tmp_path, "old.csv", "id\n1\n", minute=0)
    write(tmp_path, "young.csv", "id\n2\n", minute=59.9)
    write(tmp_path, "upload.csv.part", "id\n3\n", minute=0)

    first = batches(tmp_path, now=60, settle=10)
    later = batches(tmp_path, first[-1].state, now=61, settle=10)

    assert ids(first) == ["1"]
    assert ids(later) == ["2"]


def test_a_full_read_does_not_go_on_without_an_object_that_waits(tmp_path: Path) -> None:
    """Its records would be missing, and be taken for deleted."""
    write(tmp_path, "young.csv", "id\n2\n", minute=59.9)

    with pytest.raises(TransientError, match=r"young.csv") as waits:
        batches(tmp_path, now=60, settle=10, mode="full")

    assert waits.value.retry_after == timedelta(seconds=10)


def test_nothing_of_a_half_written_object_is_followed_by_a_checkpoint(tmp_path: Path) -> None:
    # Of CSV, Arrow reads ahead, and drops what it has read when it comes upon the end.
    lines = "".join(f'{{"id": "{n * 7919:060}"}}\n' for n in range(120_000))
    write(tmp_path, "a.jsonl", '{"id": "1"}\n')
    write(tmp_path, "b.jsonl.gz", gzip.compress(lines.encode())[:-5], minute=1)
    seen = []

    with pytest.raises(TransientError, match=r"b.jsonl.gz"):
        for batch in reading(tmp_path, "*.jsonl*", mode=SyncMode.INCREMENTAL):
            seen.append(batch.state)

    assert all(state is None or "b.jsonl.gz" not in str(state) for state in seen)
    assert len(seen) > 1


def test_an_object_that_changes_while_it_is_read_ends_the_attempt(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "id\n" + "1234567\n" * 1_000_000)
    found = reading(tmp_path, "*.csv", mode=SyncMode.INCREMENTAL)
    next(found)

    with path.open("a") as file:
        file.write("8\n")

    with pytest.raises(TransientError, match=r"a.csv.*changed while it was read"):
        list(found)


def test_of_an_append_only_object_only_new_whole_lines_come(tmp_path: Path) -> None:
    grows: Any = {"append_only": True}
    write(tmp_path, "a.csv", "id,v\n1,x\n2,y\n3,hal")
    first = batches(tmp_path, **grows)
    write(tmp_path, "a.csv", "id,v\n1,x\n2,y\n3,half\n4,z\n", minute=1)
    second = batches(tmp_path, first[-1].state, **grows)
    write(tmp_path, "a.csv", "id,v\n9,other\n", minute=2)
    third = batches(tmp_path, second[-1].state, **grows)

    assert ids(first) == ["1", "2"]
    rows = [record for batch in second for record in batch.data.to_pylist()]
    assert [(r["id"], r["v"], r["_row"]) for r in rows] == [("3", "half", 3), ("4", "z", 4)]
    assert ids(third) == ["9"]


def test_an_append_only_object_whose_beginning_has_changed_is_read_anew(tmp_path: Path) -> None:
    grows: Any = {"append_only": True, "path": "*.jsonl"}
    write(tmp_path, "a.jsonl", '{"id": "1"}\n{"id": "2"}\n')
    state = batches(tmp_path, **grows)[-1].state
    write(tmp_path, "a.jsonl", '{"id": "8"}\n{"id": "2"}\n{"id": "3"}\n', minute=1)

    assert ids(batches(tmp_path, state, **grows)) == ["8", "2", "3"]
