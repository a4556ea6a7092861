"""How many calls of one connection are under way at a time, whoever makes them."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime
from threading import Barrier, BrokenBarrierError, Event, Lock, Thread
from time import monotonic, sleep

import pytest
from sqlalchemy import event, text

from connectors.errors import TransientError
from connectors.http.call import Call
from connectors.http.client import HttpClient, Limits
from connectors.providers.quickbooks.config import QuickBooksConfig
from connectors.providers.quickbooks.source import QuickBooksSource
from connectors.testing.fake_api import FakeApi, Reply
from sync_pipelines.catalog.secrets import SecretBox, new_key
from sync_pipelines.catalog.store import open_catalog
from sync_pipelines.engine.surroundings import surroundings_of
from tests.providers.quickbooks import QuickBooks
from tests.world import World


@pytest.fixture
def key():
    return new_key()


@pytest.fixture
def world(postgres_url, key):
    with closing(open_catalog(postgres_url, SecretBox((key,)))) as catalog:
        yield World(catalog)


@pytest.fixture
def connection(world, request):
    return world.sync(f"acme/{request.node.name[:40]}", connector="rest_api").source


class Counting:
    """An API that counts how many calls are under way, and answers each after ``hold``."""

    def __init__(self, api, hold):
        self.now = self.most = self.made = 0
        self._lock, self._hold = Lock(), hold
        api.route("GET", "/orders", self.answer)

    def answer(self, request):
        with self._lock:
            self.made += 1
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            self._hold()
        finally:
            with self._lock:
                self.now -= 1
        return Reply.json([])


def child(postgres_url, key, connection, api, *, together, calls):
    name = f"{connection.tenant}/{connection.name}"
    said = [postgres_url, key, name, api.url, str(together), str(calls)]
    return subprocess.Popen([sys.executable, "-m", "tests.engine.crowding", *said])


def wait_until(true):
    ends = monotonic() + 30
    while not true():
        assert monotonic() < ends
        sleep(0.005)


def test_two_processes_together_never_have_more_calls_under_way_than_the_provider_takes(
    world, connection, postgres_url, key
):
    """R78: each has four at a time, and the provider takes five; both get on."""
    with FakeApi() as api:
        met = Barrier(5)

        def hold():
            # Five are under way at once, or somebody waits for nothing.
            with suppress(BrokenBarrierError):
                met.wait(5)
            sleep(0.005)

        counting = Counting(api, hold)
        children = [child(postgres_url, key, connection, api, together=5, calls=50) for _ in "12"]
        codes = [one.wait(60) for one in children]

    assert codes == [0, 0]
    assert counting.made == 100
    assert counting.most == 5


def test_quickbooks_has_ten_calls_under_way_however_many_runs_there_are(world, connection):
    """It would answer the eleventh with 429."""
    company = QuickBooks(lambda: datetime.now(UTC))
    met = Barrier(10)

    def hold():
        # Ten are under way at once, and stay for a moment in which others could come.
        with suppress(BrokenBarrierError):
            met.wait(2)
        sleep(0.02)

    company.hold = hold
    with company.api, ExitStack() as opened:
        sources = [
            opened.enter_context(closing(QuickBooksSource(config=config)))
            for config in [QuickBooksConfig(**company.config())] * 3
        ]
        for source in sources:
            source.surround(surroundings_of(world.catalog, connection))
        with ThreadPoolExecutor(12) as threads:
            said = list(threads.map(lambda source: source.check(), sources * 8))

    assert len(said) == 24
    assert company.most_in_flight == 10


def test_a_process_that_is_killed_leaves_its_places_to_others(world, connection, postgres_url, key):
    with FakeApi() as api:
        go_on = Event()
        counting = Counting(api, lambda: go_on.wait(30))
        killed = child(postgres_url, key, connection, api, together=3, calls=4)
        budget = surroundings_of(world.catalog, connection).budget
        try:
            wait_until(lambda: counting.now == 3)
            full = budget.enter(3)
        finally:
            killed.kill()
            killed.wait()

        places = [budget.enter(3) for _ in "123"]
        for place in places:
            budget.leave(place)
        go_on.set()

    assert full is None
    assert sorted(places) == [1, 2, 3]


def test_who_waits_gets_the_next_place_although_others_want_it_too(world, connection):
    greedy, patient = (surroundings_of(world.catalog, connection).budget for _ in "12")
    ended, waiting = Event(), Event()

    def take_again_and_again():
        while not ended.is_set():
            place = greedy.enter(1)
            if place is not None:
                waiting.wait(5)
                greedy.leave(place)

    thread = Thread(target=take_again_and_again)
    thread.start()
    waiting.set()
    try:
        for _ in range(20):
            ends = monotonic() + 5
            while (place := patient.enter(1)) is None:
                assert monotonic() < ends
            patient.leave(place)
    finally:
        ended.set()
        thread.join()


def test_another_connection_has_places_of_its_own(world, connection):
    other = world.sync("acme/other", connector="rest_api").source
    mine, theirs = (surroundings_of(world.catalog, one).budget for one in (connection, other))

    first, second = mine.enter(1), theirs.enter(1)

    assert (first, second) == (1, 1)
    mine.leave(first)
    theirs.leave(second)


def test_a_call_costs_two_statements_where_there_is_a_limit_and_none_where_there_is_not(
    world, connection
):
    with FakeApi() as api:
        Counting(api, lambda: None)
        made = {}
        for together in (None, 3):
            client = HttpClient(
                base_url=api.url,
                limits=Limits(together=together),
                budget=surroundings_of(world.catalog, connection).budget,
                allow_private=True,
            )
            with closing(client):
                client.get("/orders")
                said: list[str] = []
                listen = lambda *seen, said=said: said.append(seen[2])  # noqa: E731
                event.listen(world.catalog.engine, "before_cursor_execute", listen)
                client.get("/orders")
                event.remove(world.catalog.engine, "before_cursor_execute", listen)
                made[together] = [one for one in said if "advisory" in one]

    assert made[None] == []
    assert len(made[3]) == 2


def test_a_session_that_is_cut_gives_its_places_back_and_the_next_call_opens_another(
    world, connection
):
    one, other = (surroundings_of(world.catalog, connection).budget for _ in "12")
    lost = one.enter(1)
    with world.catalog.begin() as db:
        db.execute(
            text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks"
                " WHERE locktype = 'advisory' AND classid = 728356"
            )
        )

    taken = other.enter(1)
    one.leave(lost)
    none = one.enter(1)
    other.leave(taken)
    again = one.enter(1)
    one.leave(again)

    assert (taken, none, again) == (1, None, 1)


def test_a_connection_that_is_closed_waits_for_no_place(world, connection):
    with FakeApi() as api:
        Counting(api, lambda: None)
        budget, holder = (surroundings_of(world.catalog, connection).budget for _ in "12")
        held = holder.enter(1)
        client = HttpClient(
            base_url=api.url, limits=Limits(together=1), budget=budget, allow_private=True
        )
        client.stop()

        with pytest.raises(TransientError, match="closed"):
            client.send(Call(path="/orders"))

        client.close()
        holder.leave(held)
        assert api.requests == []
