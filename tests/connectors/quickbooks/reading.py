"""Opens a company as a source, and reads a stream of it."""

from connectors.contract import Encoding, Selection, SyncMode
from connectors.http.bearer import MemoryTokens
from connectors.http.outside import Outside
from connectors.providers.quickbooks.config import QuickBooksConfig
from connectors.providers.quickbooks.source import QuickBooksSource
from connectors.surroundings import Surroundings
from tests.connectors.quickbooks_world import passing
from tests.providers.quickbooks import QuickBooks
from tests.world import FakeClock


def opened(company: QuickBooks, clock: FakeClock, tokens: MemoryTokens, **more) -> QuickBooksSource:
    outside = Outside(now=clock, chance=lambda: 0.0, sleep=passing(clock))
    config = QuickBooksConfig(**company.config(**more))
    source = QuickBooksSource(config=config, outside=outside)
    source.surround(Surroundings(tokens=tokens))
    return source


def read(source, name, state=None, mode=SyncMode.INCREMENTAL, **more):
    selection = Selection(stream=source.stream(name), mode=mode, **more)
    batches = list(source.read(selection, state, Encoding.ARROW))
    rows = [row for batch in batches for row in batch.data.to_pylist()]
    return rows, batches[-1].state, [one for batch in batches for one in batch.rejected]
