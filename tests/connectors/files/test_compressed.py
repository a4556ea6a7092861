"""Files that are compressed, cut off, or larger than they look."""

import gzip
import io
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet
import pytest

from connectors.errors import ConfigError, TransientError
from tests.connectors.files.reading import column_of, reading, records_of


@pytest.mark.parametrize("name", ["a.csv.gz", "a.csv.zst", "a.parquet", "a.xlsx"])
def test_a_file_that_was_cut_off_is_tried_again_later(tmp_path: Path, name: str) -> None:
    whole = "".join(["id,v\n", *(f"{n},{n * 7919 % 1000003}\n" for n in range(50_000))]).encode()
    if name.endswith(".gz"):
        content = gzip.compress(whole)
    elif name.endswith(".zst"):
        content = bytes(pa.compress(whole, "zstd"))
    elif name.endswith(".parquet"):
        file = io.BytesIO()
        pa.parquet.write_table(pa.table({"id": range(50_000)}), file)
        content = file.getvalue()
    else:
        book, file = openpyxl.Workbook(), io.BytesIO()
        book.save(file)
        content = file.getvalue()
    (tmp_path / name).write_bytes(content[: len(content) * 2 // 3])

    with pytest.raises(TransientError, match=r"a\.(csv|parquet|xlsx)"):
        records_of(tmp_path, "a.*")


def test_several_gzip_members_are_one_file(tmp_path: Path) -> None:
    members = gzip.compress(b"id\n1\n") + gzip.compress(b"2\n") + b"\0" * 100
    (tmp_path / "a.csv.gz").write_bytes(members)

    assert column_of(tmp_path, "*.gz", "id") == [1, 2]


def test_a_small_file_that_unpacks_to_a_huge_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"id\n" + b"1\n" * 4_000_000))

    with pytest.raises(ConfigError, match=r"more than 3 MB.*most_unpacked_mb"):
        list(reading(tmp_path, "*.gz", {"most_unpacked_mb": 3}))
