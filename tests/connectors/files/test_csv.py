"""CSV: read as it is described, and what does not fit is told or rejected."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.errors import ConfigError
from tests.connectors.files.reading import TEXT, batches_of, column_of, records_of


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(TEXT | st.none(), TEXT | st.none()), max_size=8))
def test_texts_survive_csv(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    """An empty field is NULL, and a quoted one the empty text."""

    def spelled(value: str | None) -> str:
        return "" if value is None else '"' + value.replace('"', '""') + '"'

    directory = tmp_path_factory.mktemp("csv")
    lines = ["one,two", *(",".join(map(spelled, line)) for line in rows)]
    (directory / "a.csv").write_text("\n".join(lines) + "\n", newline="")
    columns = {"one": "text", "two": "text"}

    found = records_of(directory, "a.csv", columns=columns)

    assert [(record["one"], record["two"]) for record in found] == rows


def test_csv_is_read_as_it_is_described(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("1;'Größe; x';NULL\n2;;b\n".encode("latin-1"))
    options = {"delimiter": ";", "quote": "'", "header": False, "encoding": "latin-1"}
    columns = {"id": "integer", "name": "text", "last": "text"}

    found = records_of(tmp_path, "a.txt", columns=columns, csv={**options, "null_words": ["NULL"]})

    assert [(r["id"], r["name"], r["last"]) for r in found] == [
        (1, "Größe; x", None),
        (2, "", "b"),
    ]


def test_a_wrong_encoding_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("v\nGröße\n".encode("latin-1"))

    with pytest.raises(ConfigError, match=r"a.csv.*csv.encoding"):
        records_of(tmp_path, "a.csv")


def test_a_line_of_another_length_is_rejected_and_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n3\n4,5,6\n7,8\n")

    batches = batches_of(tmp_path, "a.csv")

    assert [r["a"] for b in batches for r in b.data.to_pylist()] == [1, 7]
    assert [one.key for b in batches for one in b.rejected] == ["a.csv:3", "a.csv:4"]


def test_a_file_without_records_is_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id\n1\n")
    (tmp_path / "b.csv").write_text("")
    (tmp_path / "c.csv").write_text("id\n")
    (tmp_path / "d.csv").write_text("id")

    assert column_of(tmp_path, "*.csv", "id") == [1]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfid,v\n1,2\n")

    assert column_of(tmp_path, "a.csv", "id") == [1]
