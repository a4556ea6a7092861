"""Names of objects: any that a file can have, and the patterns that choose among them."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.files.names import fixed_directory, pattern
from tests.connectors.files.objects import NAMES, NOON, batches, ids, write


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


def test_a_record_is_known_by_its_object_and_its_place_in_it(tmp_path: Path) -> None:
    write(tmp_path, "in/Größe & 漢.csv", "id\n1\n2\n", minute=7)

    rows = [record for batch in batches(tmp_path) for record in batch.data.to_pylist()]

    assert [(r["_file"], r["_row"]) for r in rows] == [
        ("in/Größe & 漢.csv", 1),
        ("in/Größe & 漢.csv", 2),
    ]
    assert rows[0]["_modified_at"] == NOON + timedelta(minutes=7)


def test_a_link_out_of_the_root_is_not_followed(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    write(outside, "secret.csv", "id\nsecret\n")
    write(root, "a.csv", "id\n1\n")
    (root / "link.csv").symlink_to(outside / "secret.csv")
    (root / "directory").symlink_to(outside)

    assert ids(batches(root)) == ["1"]
