import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance

from sync_pipelines.runtime.postgres import discard
from tests.runtime.dagster_jobs import DAGSTER_YAML
from tests.runtime.installations import Start, starting


@pytest.fixture
def home(worker_home: Path) -> Iterator[Path]:
    """A home for one test, with a path as short as people's are."""
    with tempfile.TemporaryDirectory(prefix="home-", dir=worker_home) as directory:
        yield Path(directory)
        discard(Path(directory))


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    """Starts `up` in the test's home, with modules that lie in it."""
    with starting(home) as start:
        yield start


@pytest.fixture
def instance(
    empty_postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DagsterInstance]:
    """Dagster as `dagster.yaml` sets it up, on an empty database."""
    monkeypatch.setenv("SYNC_DATABASE_URL", empty_postgres_url)
    shutil.copy(DAGSTER_YAML, tmp_path / "dagster.yaml")
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance
