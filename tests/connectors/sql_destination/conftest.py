"""Every database that is written to, in every encoding."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from connectors.contract import Encoding
from tests.connectors.sql_destination.house import House

HOUSES = ("postgresql-arrow", "postgresql-pgcopy", "sqlite-arrow", "duckdb-arrow")


@pytest.fixture(params=HOUSES)
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    dialect, _, encoding = str(request.param).partition("-")
    if dialect == "postgresql":
        url = request.getfixturevalue("postgres_url")
    else:
        url = f"{dialect}:///{tmp_path}/there.db"
    yield House(url=url, dataset=f"shop_{uuid4().hex[:8]}", encoding=Encoding(encoding))


@pytest.fixture
def postgres(postgres_url: str) -> House:
    """PostgreSQL written by Arrow, for what only it can do."""
    dataset = f"shop_{uuid4().hex[:8]}"
    return House(url=postgres_url, dataset=dataset, encoding=Encoding.ARROW)
