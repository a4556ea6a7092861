"""The watch outside Dagster: what it says, and that it outlives a catalog that does not answer."""

from datetime import timedelta

import pytest

from connectors.errors import TransientError
from sync_pipelines.catalog import heartbeats, incidents
from sync_pipelines.engine.signs import DISPATCH_EVENTS, WATCH
from sync_pipelines.runtime.waiting import wait_until
from sync_pipelines.runtime.watching import Lookout, Watching
from tests.world import FakeClock, make_catalog


@pytest.fixture
def catalog(catalog_url):
    made = make_catalog(catalog_url)
    yield made
    made.close()


def beat(catalog, clock, name=DISPATCH_EVENTS):
    with catalog.begin() as db:
        heartbeats.beat(db, name, every_seconds=5, now=clock())


def test_a_dead_daemon_is_said_once_with_what_helps_and_so_is_its_return(catalog):
    said: list[str] = []
    clock = FakeClock()
    beat(catalog, clock)
    lookout = Lookout(catalog, said.append, clock)
    for _ in range(8):
        clock.advance(seconds=30)
        lookout.look()
    beat(catalog, clock)
    lookout.look()
    beat(catalog, clock, WATCH)
    lookout.look()

    begun, over = said
    assert begun.startswith("ALARM dead_daemon: nothing has been dispatched since 2026-03-02 12:00")
    assert "What helps: start it again" in begun
    assert over == "over: dead_daemon of daemon"
    with catalog.begin() as db:
        (told,) = incidents.list_incidents_for_all_tenants(db, only_open=False)
    assert told.seen == 5
    assert told.opened_at <= clock.now - timedelta(minutes=2)
    assert told.resolved_at == clock()


def test_a_catalog_that_does_not_answer_is_said_once_and_looked_at_again(catalog):
    said: list[str] = []
    answers = iter([False, False, True])

    def open_it():
        if next(answers, True):
            return catalog
        raise TransientError("the catalog does not answer: no route")

    with Watching(open_it, said.append, every_seconds=0.01):
        wait_until(lambda: len(said) >= 2, seconds=20)

    assert said == [
        "ALARM the watch cannot read the catalog: the catalog does not answer: no route",
        "over: the watch reads the catalog again",
    ]
