"""JSON Lines: values and documents stay as they are spelled, line by line."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.connectors.files.reading import TEXT, batches_of, column_of, records_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | TEXT | st.floats(-1e9, 1e9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None)
@given(
    documents=st.lists(st.dictionaries(TEXT, JSON, max_size=3), max_size=6), indent=st.booleans()
)
def test_documents_in_json_lines_stay_as_they_are_spelled(
    tmp_path_factory: pytest.TempPathFactory, documents: list[Any], indent: bool
) -> None:
    directory = tmp_path_factory.mktemp("jsonl")
    spelled = [json.dumps(one, separators=(" , ", " : ") if indent else None) for one in documents]
    lines = [f'{{"id": {number}, "d": {one}}}\n' for number, one in enumerate(spelled)]
    (directory / "a.jsonl").write_text("".join(lines))

    found = column_of(directory, "a.jsonl", "d", columns={"d": "json"})

    assert found == spelled


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(
        st.none()
        | st.booleans()
        | st.integers(-(2**70), 2**70)
        | TEXT.filter(lambda text: text[4:5] != "-")  # no moments: they may become such
        | st.decimals(
            allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=4
        )
    )
)
def test_whatever_values_a_json_field_has_none_is_altered(
    tmp_path_factory: pytest.TempPathFactory, values: list[Any]
) -> None:
    directory = tmp_path_factory.mktemp("jsonl")
    spelled = [str(v) if isinstance(v, Decimal) else json.dumps(v) for v in values]
    (directory / "a.jsonl").write_text("".join(f'{{"v": {one}}}\n' for one in spelled))

    found = column_of(directory, "a.jsonl", "v") if values else []

    assert [_told(value) for value in found] == [_told(value) for value in values]


def _told(value: Any) -> str | None:
    """The same for a value and for the text that its column may have fallen back to."""
    return value if value is None else json.dumps(value) if isinstance(value, bool) else str(value)


def test_json_fields_of_several_kinds_fall_back_to_text_without_loss(tmp_path: Path) -> None:
    lines = [
        '{"v": 1}',
        '{"v": "007"}',
        '{"v": 2.50}',
        '{"v": 1e3}',
        '{"w": [1,  2]}',
        '{"v": null}',
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))

    found = records_of(tmp_path, "a.jsonl")

    assert [r["v"] for r in found] == ["1", "007", "2.50", "1e3", None, None]
    assert found[4]["w"] == "[1,  2]"


def test_a_line_that_is_no_json_object_is_rejected_by_its_number(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"id": 1}\n[2]\n{"id": 3\n\n{"id": \xff}\n{"id": 5}')

    batches = batches_of(tmp_path, "a.jsonl")

    assert [r["id"] for b in batches for r in b.data.to_pylist()] == [1, 5]
    assert [r.key for b in batches for r in b.rejected] == ["a.jsonl:2", "a.jsonl:3", "a.jsonl:5"]


@pytest.mark.parametrize(
    ("spelled", "read"),
    [
        ("12.50", "12.50"),
        ("7", "7"),
        ("0", "0"),
        ("-0", "-0"),
        ("-0.00", "-0.00"),
        ("1.5e3", "1500"),
        ('"12.50"', "12.50"),
        ('"1e5"', None),
        ("12345678901234567890123456789", "12345678901234567890123456789"),
        ("9" * 5000, "9" * 5000),
        ("null", None),
        ("true", None),
        ("[1.5]", None),
    ],
)
def test_a_decimal_in_json_lines_stays_as_it_is_spelled(
    tmp_path: Path, spelled: str, read: str | None
) -> None:
    """Law 7: however it is taken, alone and among plain ones; what is no number is set apart."""
    lines = [f'{{"n": {spelled}}}', '{"n": 1.10}', "{}"]
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")

    found = column_of(tmp_path, "a.jsonl", "n", columns={"n": "decimal"})

    assert found == [read, "1.10", None]
