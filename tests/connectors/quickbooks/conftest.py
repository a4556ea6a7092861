"""A company, its books as they are written, and a source that reads them."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.http.bearer import MemoryTokens
from connectors.providers.quickbooks.source import QuickBooksSource
from tests.connectors.quickbooks.reading import opened
from tests.connectors.quickbooks_world import Books
from tests.providers.quickbooks import QuickBooks
from tests.world import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime.now(UTC).replace(microsecond=0))


@pytest.fixture
def company(clock: FakeClock) -> Iterator[QuickBooks]:
    company = QuickBooks(clock)
    with company.api:
        yield company


@pytest.fixture
def books(company: QuickBooks, clock: FakeClock, tmp_path: Path) -> Books:
    return Books.at(company, clock, tmp_path)


@pytest.fixture
def tokens() -> MemoryTokens:
    return MemoryTokens()


@pytest.fixture
def source(
    company: QuickBooks, clock: FakeClock, tokens: MemoryTokens
) -> Iterator[QuickBooksSource]:
    with closing(opened(company, clock, tokens)) as source:
        yield source
