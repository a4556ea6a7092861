"""Files as a destination: what a crash leaves behind, and what readers of a manifest see."""

import json
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import registry
from connectors.contract import Batch, Destination, Encoding, Rejection, State
from connectors.errors import ConfigError, TransientError
from connectors.files.config import FilesConfig
from connectors.files.destination import FilesDestination, open_destination
from connectors.files.local import LocalStore
from connectors.files.manifest import directory
from connectors.rejected import read_rejected
from connectors.testing.rows import row, table
from connectors.testing.writing import APPEND, DATASET, REPLACE, TABLE, UPSERT, put, seen


class Killed(BaseException):
    """The process died here."""


class DyingStore(LocalStore):
    """Dies when it comes to the manifest: before it is replaced, or right after."""

    def __init__(self, root: Path, *, after: bool) -> None:
        super().__init__(root)
        self._after = after

    def swap(self, name: str, content: bytes, version: str | None) -> str:
        if self._after:
            super().swap(name, content, version)
        raise Killed


def destination_in(root: Path, **at: Any) -> Destination:
    config = FilesConfig.model_validate({"url": root.as_uri()})
    return open_destination(config, **at)


def dying_in(root: Path, *, after: bool) -> FilesDestination:
    destination = destination_in(root)
    assert isinstance(destination, FilesDestination)
    destination._store = DyingStore(root, after=after)
    return destination


def objects(root: Path) -> set[str]:
    place = root / DATASET / TABLE / "data"
    return {path.name for path in place.iterdir()} if place.exists() else set()


def named(root: Path) -> set[str]:
    manifest = json.loads((root / DATASET / TABLE / "_manifest.json").read_text())
    return {part["name"].removeprefix("data/") for part in manifest["files"]}


@pytest.mark.parametrize("after", [False, True], ids=["before the manifest", "after it"])
@pytest.mark.parametrize("usual", [APPEND, UPSERT, REPLACE], ids=["append", "upsert", "replace"])
def test_an_execution_that_dies_at_its_commit_is_done_exactly_once(
    tmp_path: Path, usual: Any, after: bool
) -> None:
    """R63: the object is there, and only the manifest decides whether it counts."""
    put(destination_in(tmp_path), usual, row(1), mark="one")
    second = replace(usual, execution="second")
    dying = dying_in(tmp_path, after=after)
    with closing(dying.open(second, Encoding.ARROW)) as writer:
        writer.write(Batch(data=table(row(1), row(2))))
        with pytest.raises(Killed):
            writer.commit(State(version=1, value={"watermark": "two"}), finished=True)

    before = seen(destination_in(tmp_path), second)
    if not before.finished:
        put(destination_in(tmp_path), second, row(1), row(2), mark="two")

    assert before.finished is after
    found = destination_in(tmp_path).read_table(DATASET, TABLE).to_pylist()
    assert sorted(record["id"] for record in found) == [1, 2]
    assert seen(destination_in(tmp_path), second).state.watermark == "two"


@pytest.mark.parametrize("after", [False, True], ids=["before the manifest", "after it"])
def test_rejected_records_are_there_with_the_manifest_or_not_at_all(
    tmp_path: Path, after: bool
) -> None:
    """R63."""
    dying = dying_in(tmp_path, after=after)
    with closing(dying.open(UPSERT, Encoding.ARROW)) as writer:
        writer.write(Batch(data=table(row(1)), rejected=(Rejection(key="7", reason="bad"),)))
        with pytest.raises(Killed):
            writer.commit(None, finished=True)

    found = read_rejected(destination_in(tmp_path), DATASET, owner=UPSERT.owner)

    assert [one.key for one in found] == (["7"] if after else [])


def test_a_commit_of_nothing_but_rejected_records_is_no_end(tmp_path: Path) -> None:
    """The first one has no table to merge into."""
    with closing(destination_in(tmp_path).open(UPSERT, Encoding.ARROW)) as writer:
        bad = Rejection(key="7", reason="bad")
        writer.write(Batch(data=table(row(1)).slice(0, 0), rejected=(bad,)))
        writer.commit(State(version=1, value={"watermark": "one"}))
        writer.write(Batch(data=table(row(1))))
        done = writer.commit(None, finished=True)

    assert (done.counts.created, done.counts.rejected) == (1, 1)
    assert len(read_rejected(destination_in(tmp_path), DATASET, owner=UPSERT.owner)) == 1


def test_what_was_rejected_goes_with_a_whole_read_that_brings_nothing(tmp_path: Path) -> None:
    whole = replace(UPSERT, complete=True)
    with closing(destination_in(tmp_path).open(whole, Encoding.ARROW)) as writer:
        bad = Rejection(key="7", reason="bad")
        writer.write(Batch(data=table(row(1)).slice(0, 0), rejected=(bad,)))
        writer.commit(None, finished=True)

    with closing(
        destination_in(tmp_path).open(replace(whole, execution="second"), Encoding.ARROW)
    ) as writer:
        writer.commit(None, finished=True)

    assert not read_rejected(destination_in(tmp_path), DATASET, owner=UPSERT.owner)


def test_a_retried_commit_writes_the_same_object_again(tmp_path: Path) -> None:
    dying = dying_in(tmp_path, after=False)
    with closing(dying.open(APPEND, Encoding.ARROW)) as writer:
        writer.write(Batch(data=table(row(1), row(2))))
        with pytest.raises(Killed):
            writer.commit(None, finished=True)
    left = objects(tmp_path)

    put(destination_in(tmp_path), APPEND, row(1), row(2))

    assert objects(tmp_path) == left == named(tmp_path)


def test_each_commit_of_an_append_adds_one_object_and_leaves_the_others(tmp_path: Path) -> None:
    put(destination_in(tmp_path), APPEND, row(1))
    first = named(tmp_path)

    put(destination_in(tmp_path), replace(APPEND, execution="second"), row(1), row(2, seconds=1))

    assert len(named(tmp_path)) == 2
    assert first < named(tmp_path)


def test_an_upsert_that_changes_nothing_writes_nothing(tmp_path: Path) -> None:
    put(destination_in(tmp_path), UPSERT, row(1))
    first = objects(tmp_path)

    put(destination_in(tmp_path), replace(UPSERT, execution="second"), row(1))

    assert objects(tmp_path) == first == named(tmp_path)


def test_what_is_no_longer_named_stays_for_a_day_and_then_goes(tmp_path: Path) -> None:
    put(destination_in(tmp_path), REPLACE, row(1))
    [old] = objects(tmp_path)

    put(destination_in(tmp_path), replace(REPLACE, execution="second"), row(2))
    still = objects(tmp_path)
    tomorrow = datetime.now(UTC) + timedelta(days=1, minutes=1)
    in_a_day = destination_in(tmp_path, clock=lambda: tomorrow)
    put(in_a_day, replace(REPLACE, execution="third"), row(3))

    assert old in still
    assert objects(tmp_path) == named(tmp_path)


def test_an_object_that_somebody_removed_is_missed_loudly(tmp_path: Path) -> None:
    put(destination_in(tmp_path), APPEND, row(1))
    for path in (tmp_path / DATASET / TABLE / "data").iterdir():
        path.unlink()

    with pytest.raises(TransientError, match="named by its manifest"):
        destination_in(tmp_path).read_table(DATASET, TABLE)


def test_a_manifest_that_is_not_ours_is_not_overwritten(tmp_path: Path) -> None:
    place = tmp_path / DATASET / TABLE
    place.mkdir(parents=True)
    (place / "_manifest.json").write_text('{"somebody": "else"}')

    with pytest.raises(ConfigError, match="no manifest of ours"):
        put(destination_in(tmp_path), APPEND, row(1))


@settings(max_examples=200)
@given(
    first=st.tuples(st.text(max_size=200), st.text(min_size=1, max_size=200)),
    second=st.tuples(st.text(max_size=200), st.text(min_size=1, max_size=200)),
)
def test_any_two_tables_have_two_directories_inside_the_root(
    first: tuple[str, str], second: tuple[str, str]
) -> None:
    one, other = (
        directory(*(part.encode(errors="replace").decode() for part in names))
        for names in (first, second)
    )

    for place in (one, other):
        parts = place.split("/")
        assert len(parts) == 2
        assert all(part not in ("", ".", "..") and len(part) < 200 for part in parts)
    assert (one == other) == (
        tuple(p.encode(errors="replace") for p in (first[0] or "default", first[1]))
        == tuple(p.encode(errors="replace") for p in (second[0] or "default", second[1]))
    )


def test_what_was_written_can_be_read_as_a_stream(tmp_path: Path) -> None:
    put(destination_in(tmp_path), APPEND, row(1), row(2))
    source = registry.get("files").open_source(
        {
            "url": tmp_path.as_uri(),
            "settle_seconds": 0,
            "streams": {"orders": {"path": f"{DATASET}/{TABLE}/data/*.parquet"}},
        }
    )

    offered = source.stream("orders")

    assert list(offered.schema.names)[:3] == ["id", "changed_at", "note"]
