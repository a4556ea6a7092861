"""Whatever changes, fails and dies in between, the next good run brings everything.

Time is the provider's and ours alike, and moves only by changes and waits. Many records
share a time; pages end among them; records change while pages are read.
"""

import shutil
import tempfile
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.contract import Encoding, SyncMode, WriteMode
from connectors.errors import ConnectorError
from connectors.http.outside import Outside
from connectors.rest.config import RestApiConfig
from connectors.rest.connector import api_of
from connectors.rest.source import RestSource
from connectors.testing.fake_api import (
    FakeApi,
    FakeList,
    cut_off,
    damaged,
    failing,
    first,
    html_page,
    throttled,
)
from connectors.testing.memory import MemoryDestination, MemoryStore
from connectors.testing.rows import at, row, rows_of
from tests.connectors.rest_systems import (
    ORDERED,
    PAGES,
    UNORDERED,
    changed,
    config,
    orders,
    record,
)
from tests.contract.moving import planned
from tests.contract.systems import Sqlite

CHANGE = st.tuples(st.integers(1, 9), st.integers(0, 1), st.sampled_from("abc"))
"""Which record, how many seconds later than the last change, and what it says then."""

TROUBLE = st.sampled_from(["429", "429 later", "500", "cut", "damaged", "html", "change", "delete"])
ROUNDS = st.lists(
    st.tuples(
        st.lists(CHANGE, max_size=7),
        st.lists(st.tuples(st.integers(1, 9), TROUBLE, CHANGE), max_size=3),
        st.one_of(st.none(), st.integers(0, 4)),
    ),
    min_size=1,
    max_size=4,
)
"""Changes, troubles at the n-th request, and after how many batches the writer dies."""


class Shop:
    """The provider, its records, and the one clock."""

    def __init__(self, api, **served):
        self.api = api
        self.now = at(0)
        self.orders = api.serve("/orders", FakeList(**served))
        self.there = {}
        api.clock = lambda: self.now
        api.calm()

    def change(self, identity, later, note):
        self.now += timedelta(seconds=later)
        held = self.there.get(identity)
        if held is not None and held.changed_at == self.now:
            # The contract takes the same key and cursor for the same record.
            self.now += timedelta(seconds=1)
        seconds = (self.now - at(0)).total_seconds()
        self.there[identity] = row(identity, seconds=seconds, note=note)
        self.orders.put(record(self.there[identity]))

    def delete(self, identity):
        self.there.pop(identity, None)
        self.orders.remove(identity)

    def sleep(self, seconds):
        self.now += timedelta(seconds=seconds)

    @property
    def outside(self):
        return Outside(now=lambda: self.now, chance=lambda: 0.5, sleep=self.sleep)

    def source(self, spec):
        parsed = RestApiConfig.model_validate(config(self.api.url, spec))
        return RestSource(api=api_of(parsed), outside=self.outside)

    def trouble(self, kind, change, *, deletes):
        plain = {
            "429": throttled("1"),
            "429 later": throttled("3600"),
            "500": failing(500),
            "cut": cut_off(9),
            "damaged": damaged,
            "html": html_page,
            "change": first(partial(self.change, *change)),
        }
        if kind in plain:
            return plain[kind]
        return first(partial(self.delete, change[0])) if deletes else plain["change"]


class DiedError(Exception):
    """The process that wrote is gone."""


def run(source, destination, *, execution, mode, batch_rows, dies_after=None):
    write_mode = WriteMode.UPSERT if mode is SyncMode.INCREMENTAL else WriteMode.REPLACE
    selection, target = planned(
        source,
        "orders",
        mode=mode,
        write_mode=write_mode,
        execution=execution,
        dataset="shop",
        batch_rows=batch_rows,
    )
    with closing(destination.open(target, Encoding.ARROW)) as writer:
        pending = None
        batches = source.read(selection, writer.committed.state, Encoding.ARROW)
        with closing(batches):
            for number, batch in enumerate(batches):
                if number == dies_after:
                    raise DiedError
                if pending is not None and mode is SyncMode.INCREMENTAL:
                    writer.commit(pending)
                writer.write(batch)
                pending = batch.state
        writer.commit(pending, finished=True)


@contextmanager
def in_memory():
    store = MemoryStore()
    yield MemoryDestination(store), lambda: store.records("shop", "orders") or ()


@contextmanager
def in_sqlite():
    home = Path(tempfile.mkdtemp(prefix="sync-laws-"))
    try:
        system = Sqlite(home)
        with closing(system.destination()) as destination:
            yield destination, lambda: system.records("shop", "orders") or ()
    finally:
        shutil.rmtree(home)


@pytest.fixture(scope="module")
def api():
    with FakeApi() as api:
        yield api


def prove(api, make, spec, *, mode, examples, **served):
    @settings(max_examples=examples, deadline=None)
    @given(rounds=ROUNDS, batch_rows=st.integers(1, 4))
    def proven(rounds, batch_rows):
        shop = Shop(api, **served)
        deletes = mode is SyncMode.FULL
        with make() as (destination, found):
            for number, (changes, troubles, dies_after) in enumerate(rounds):
                for change in changes:
                    shop.change(*change)
                for nth, kind, change in troubles:
                    api.at(nth, shop.trouble(kind, change, deletes=deletes))
                with closing(shop.source(spec)) as source, suppress(ConnectorError, DiedError):
                    how = {"mode": mode, "batch_rows": batch_rows, "dies_after": dies_after}
                    run(source, destination, execution=f"e{number}", **how)
            api.calm()
            shop.sleep(3600)
            shop.change(9, 0, "last")
            with closing(shop.source(spec)) as source:
                run(source, destination, execution="good", mode=mode, batch_rows=batch_rows)

            assert rows_of(found()) == sorted(shop.there.values())

    proven()


ASKED = {"ordered": ORDERED, "unordered": UNORDERED, "exclusive": changed(exclusive=True)}


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("pages", PAGES)
def test_changes_faults_and_crashes_lose_nothing_in_memory(api, pages, asked):
    """R70, R152."""
    spec = orders(pages=PAGES[pages], incremental=ASKED[asked])

    prove(
        api,
        in_memory,
        spec,
        mode=SyncMode.INCREMENTAL,
        examples=60,
        exclusive=asked == "exclusive",
    )


@pytest.mark.parametrize("pages", ["number, counted", "cursor"])
def test_changes_faults_and_crashes_lose_nothing_in_sqlite(api, pages):
    spec = orders(pages=PAGES[pages], incremental=ORDERED)

    prove(api, in_sqlite, spec, mode=SyncMode.INCREMENTAL, examples=10)


@pytest.mark.parametrize("pages", PAGES)
def test_a_full_read_after_changes_deletes_faults_and_crashes_is_the_source(api, pages):
    spec = orders(pages=PAGES[pages])

    prove(api, in_memory, spec, mode=SyncMode.FULL, examples=25)
