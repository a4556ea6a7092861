"""Arrow and pandas: apart until somebody imports pandas, and together from then on.

Each in a process of its own, because what is imported stays.
"""

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

NAN_IS_NULL = "pa.array(pd.Series(['a', float('nan')])).null_count == 1"
"""Arrow knows that only of pandas' own types."""


def run(script: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_values_are_made_without_pandas() -> None:
    run(
        "import sys\n"
        "from connectors.late import pa, pc\n"
        "assert pc.sum(pa.array([1, 2])).as_py() == 3\n"
        "assert 'pandas' not in sys.modules"
    )


@pytest.mark.parametrize("late", ["from connectors.late import pa; pa.array([1])", "pass"])
def test_arrow_knows_pandas_whoever_was_imported_first(late: str) -> None:
    run(
        f"{late}\n"
        "import pandas as pd\n"
        "from connectors.late import pa\n"
        f"assert {NAN_IS_NULL}\n"
        "table = pa.table({'n': pa.array([1, 2])})\n"
        "assert list(table.to_pandas()['n']) == [1, 2]\n"
        "assert pa.Table.from_pandas(pd.DataFrame({'n': [1]})).num_rows == 1\n"
        "assert pd.__spec__.loader is pd.__loader__"
    )


def test_another_thread_may_import_pandas_while_arrow_is_kept_from_it() -> None:
    run(
        "import sys\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from importlib import import_module\n"
        "from connectors.apart import _Gate\n"
        "sys.meta_path.insert(0, _Gate())\n"
        "with ThreadPoolExecutor(1) as pool:\n"
        "    pd = pool.submit(import_module, 'pandas').result()\n"
        "import pyarrow as pa\n"
        f"assert {NAN_IS_NULL}"
    )


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz", "a.parquet"])
def test_a_file_is_read_and_encoded_without_pandas(tmp_path: Path, name: str) -> None:
    """What every run pays for: 34 MB and a fifth of a second."""
    path = tmp_path / name
    if name == "a.parquet":
        run(
            "import sys, pyarrow as pa, pyarrow.parquet as parquet\n"
            "data = pa.table({'n': pa.array([1]), 't': pa.array(['x'])})\n"
            "parquet.write_table(data, sys.argv[1])",
            str(path),
        )
    else:
        text = "n,t\n1,x\n" if "csv" in name else '{"n": 1, "t": "x"}\n'
        path.write_bytes(gzip.compress(text.encode()))

    loaded = run(
        "import sys\n"
        "from pathlib import Path\n"
        "from connectors import registry\n"
        "from connectors.contract import Encoding, Selection, SyncMode\n"
        "from connectors.sql.postgres import encode, ingest\n"
        "path = Path(sys.argv[1])\n"
        "source = registry.get('files').open_source({'url': path.parent.as_uri(),\n"
        "    'settle_seconds': 0, 'streams': {'s': {'path': path.name}}})\n"
        "selection = Selection(stream=source.stream('s'), mode=SyncMode.FULL)\n"
        "for batch in source.read(selection, None, Encoding.ARROW):\n"
        "    types = {'n': 'bigint', 't': 'text'}\n"
        "    data, _ = ingest.prepared(batch.data.select(list(types)), types)\n"
        "    list(encode.copied(data, ['bigint', 'text']))\n"
        "print([name for name in ('pandas', 'duckdb', 'adbc_driver_manager')\n"
        "    if name in sys.modules])",
        str(path),
    )

    assert loaded == "[]\n"


@pytest.mark.skipif(sys.platform != "linux", reason="huge pages are counted by Linux")
def test_arrow_takes_no_huge_pages_for_little_data() -> None:
    """Each would take 2 MB with its first byte."""
    told = run(
        "from pathlib import Path\n"
        "import connectors\n"
        "import pyarrow as pa\n"
        "kept = pa.array(range(100_000))\n"
        "print(Path('/proc/self/smaps_rollup').read_text())"
    )

    assert "AnonHugePages:         0 kB" in told
