"""Which objects a files source reads, when, and what it remembers of them."""

import gzip
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import registry
from connectors.contract import Encoding, Selection, SyncMode, Window
from connectors.errors import ConfigError, TransientError
from connectors.files.config import FilesConfig
from connectors.files.names import fixed_directory, pattern
from connectors.files.source import open_source

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAMES = st.text(
    st.characters(exclude_characters="/\x00", exclude_categories=["Cs"]), min_size=1, max_size=60
).filter(lambda name: name not in (".", ".."))


def write(directory: Path, name: str, content: str | bytes, *, minute: float = 0) -> Path:
    """A file that was last changed so many minutes after noon."""
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    at = (NOON + timedelta(minutes=minute)).timestamp()
    os.utime(path, (at, at))
    return path


def batches(
    directory: Path,
    state: Any = None,
    *,
    now: float = 600,
    mode: str = "incremental",
    window: Window | None = None,
    lag: float = 0,
    settle: float = 0,
    path: str = "**/*.csv*",
    **stream: Any,
) -> Any:
    """One read, so many minutes after noon."""
    config = FilesConfig.model_validate(
        {
            "url": directory.as_uri(),
            "settle_seconds": settle,
            "streams": {"orders": {"path": path, "columns": {"id": "text"}, **stream}},
        }
    )
    source = open_source(config, lambda: NOON + timedelta(minutes=now))
    selection = Selection(
        stream=source.stream("orders"),
        mode=SyncMode(mode),
        window=window,
        lag=timedelta(minutes=lag),
    )
    return list(source.read(selection, state, Encoding.ARROW))


def ids(found: Any) -> list[str]:
    return [record["id"] for batch in found for record in batch.data.to_pylist()]


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
        config = {"url": tmp_path.as_uri(), "settle_seconds": 0}
        source = registry.get("files").open_source(
            {**config, "streams": {"orders": {"path": "**/*.jsonl*"}}}
        )
        selection = Selection(stream=source.stream("orders"), mode=SyncMode.INCREMENTAL)
        for batch in source.read(selection, None, Encoding.ARROW):
            seen.append(batch.state)

    assert all(state is None or "b.jsonl.gz" not in str(state) for state in seen)
    assert len(seen) > 1


def test_an_object_that_changes_while_it_is_read_ends_the_attempt(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "id\n" + "1234567\n" * 1_000_000)
    config = {"url": tmp_path.as_uri(), "settle_seconds": 0}
    source = registry.get("files").open_source({**config, "streams": {"orders": {"path": "*.csv"}}})
    selection = Selection(stream=source.stream("orders"), mode=SyncMode.INCREMENTAL)
    found = source.read(selection, None, Encoding.ARROW)
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


def test_a_record_is_known_by_its_object_and_its_place_in_it(tmp_path: Path) -> None:
    write(tmp_path, "in/Größe & 漢.csv", "id\n1\n2\n", minute=7)

    rows = [record for batch in batches(tmp_path) for record in batch.data.to_pylist()]

    assert [(r["_file"], r["_row"]) for r in rows] == [
        ("in/Größe & 漢.csv", 1),
        ("in/Größe & 漢.csv", 2),
    ]
    assert rows[0]["_modified_at"] == NOON + timedelta(minutes=7)


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


def test_a_link_out_of_the_root_is_not_followed(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    write(outside, "secret.csv", "id\nsecret\n")
    write(root, "a.csv", "id\n1\n")
    (root / "link.csv").symlink_to(outside / "secret.csv")
    (root / "directory").symlink_to(outside)

    assert ids(batches(root)) == ["1"]


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        ({"url": "file:///data/../etc"}, r"'\.\.'"),
        ({"url": "file://etc/passwd"}, "absolute"),
        ({"url": "ftp://host/x"}, "sftp://"),
        ({"url": "sftp://user:secret@host/x"}, "password"),
        ({"url": "s3://bucket", "streams": {"a": {"path": "../x/*.csv"}}}, "below"),
        ({"url": "s3://bucket", "streams": {"a": {"path": "/etc/*"}}}, "below"),
        ({"url": "s3://b", "streams": {"a": {"path": "*", "columns": {"n": "number"}}}}, "integer"),
        ({"url": "s3://b", "streams": {"a": {"path": "*", "csv": {"encoding": "x"}}}}, "latin-1"),
    ],
)
def test_a_wrong_configuration_is_refused_with_what_would_be_right(
    config: Mapping[str, Any], wrong: str
) -> None:
    with pytest.raises(ConfigError, match=wrong) as refused:
        registry.get("files").parse(config)

    assert "secret" not in str(refused.value)


def test_credentials_are_not_shown() -> None:
    config = FilesConfig.model_validate(
        {"url": "sftp://me@host/in", "password": "hush", "private_key": "hush"}
    )

    assert "hush" not in repr(config)
    assert config.redacted == "sftp://host/in"


@settings(max_examples=200)
@given(name=NAMES)
def test_a_name_without_wildcards_matches_itself_alone(name: str) -> None:
    plain = name.translate({ord(sign): "_" for sign in "*?["})

    assert pattern(plain).fullmatch(plain)
    assert not pattern(plain).fullmatch(plain + "x")


@pytest.mark.parametrize(
    ("text", "name", "matches"),
    [
        ("in/*.csv", "in/a.csv", True),
        ("in/*.csv", "in/deep/a.csv", False),
        ("in/**/*.csv", "in/a.csv", True),
        ("in/**/*.csv", "in/x/y/a.csv", True),
        ("in/?.csv", "in/ab.csv", False),
        ("in/[ab].csv", "in/b.csv", True),
        ("in/[!ab].csv", "in/b.csv", False),
        ("**", "any/thing", True),
    ],
)
def test_a_star_stays_within_a_directory_and_two_do_not(
    text: str, name: str, matches: bool
) -> None:
    assert bool(pattern(text).fullmatch(name)) is matches
    assert name.startswith(fixed_directory(text)) or not matches


@settings(max_examples=40, deadline=None)
@given(names=st.sets(NAMES, min_size=1, max_size=4))
def test_any_name_that_a_file_can_have_is_read(
    tmp_path_factory: pytest.TempPathFactory, names: set[str]
) -> None:
    directory = tmp_path_factory.mktemp("names")
    for name in names:
        write(directory, f"{name}.csv", "id\n1\n")

    found = [r["_file"] for b in batches(directory, path="*.csv") for r in b.data.to_pylist()]

    assert sorted(found) == sorted(f"{name}.csv" for name in names)


def test_a_file_that_says_nothing_of_its_format_is_refused_with_the_remedy(tmp_path: Path) -> None:
    write(tmp_path, "a.dat", "id\n1\n")

    with pytest.raises(ConfigError, match=r"a.dat.*set format"):
        batches(tmp_path, path="*.dat")


def test_a_stream_without_files_says_so(tmp_path: Path) -> None:
    config = {"url": tmp_path.as_uri(), "streams": {"orders": {"path": "none/*.csv"}}}
    source = registry.get("files").open_source(config)

    offered = source.stream("orders")

    assert offered.note == "no file matches 'none/*.csv' yet"
    assert ids(batches(tmp_path, path="none/*.csv")) == []
