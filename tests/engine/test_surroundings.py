"""What runs of one connection share: its budget of calls, and its tokens."""

import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from uuid import uuid4

import pytest

from connectors.http.bearer import OAuth2Signer
from connectors.http.call import Call
from connectors.http.oauth import App, TokenEndpoint
from connectors.surroundings import Heard, Rate, Tokens
from connectors.testing.fake_api import FakeApi, Reply
from sync_pipelines.catalog import budgets, syncs
from sync_pipelines.catalog.secrets import SecretBox, new_key
from sync_pipelines.catalog.store import open_catalog
from sync_pipelines.engine.surroundings import open_source, surroundings_of
from tests.connectors.rest_systems import config, orders
from tests.world import World

RATE = Rate(calls=20, per=timedelta(seconds=1))


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


def test_two_processes_together_stay_within_the_rate(world, connection, postgres_url, key):
    """R78: the provider's quota is the connection's, not the run's."""
    name = f"{connection.tenant}/{connection.name}"
    command = [sys.executable, "-m", "tests.engine.calling", postgres_url, key, name]
    children = [
        subprocess.Popen([*command, "20", "1000", "3"], stdout=subprocess.PIPE) for _ in "12"
    ]
    printed = [child.communicate()[0].decode().split() for child in children]

    made = sorted(float(at) for lines in printed for at in lines)
    assert all(len(lines) > 3 for lines in printed)
    assert len(made) > 30
    busiest = max(sum(1 for at in made if start <= at < start + 1) for start in made)
    assert busiest <= 20
    [spent] = [one for one in spent_of(world) if f"{one.tenant}/{one.connection}" == name]
    assert spent.calls == len(made)


def test_a_bucket_gives_out_its_burst_and_then_makes_wait(world, connection):
    budget = surroundings_of(world.catalog, connection).budget

    first = budget.take("calls", RATE, wanted=50, heard=Heard())
    second = budget.take("calls", RATE, wanted=50, heard=Heard())

    assert first.calls == 2
    assert second.calls == 0
    assert timedelta(0) < second.wait < timedelta(seconds=0.1)


def test_what_one_run_heard_stops_the_others(world, connection):
    one, other = (surroundings_of(world.catalog, connection).budget for _ in "12")
    later = datetime.now(UTC) + timedelta(seconds=40)
    one.take("calls", None, wanted=1, heard=Heard())

    one.tell("calls", Heard(calls=1, throttles=1, remaining=0, resets_at=later))

    lease = other.take("calls", None, wanted=1, heard=Heard())
    assert lease.calls == 0
    assert timedelta(seconds=30) < lease.wait <= timedelta(seconds=40)
    assert other.take("reports", None, wanted=1, heard=Heard()).calls == 1


def test_what_remains_is_shared(world, connection):
    one, other = (surroundings_of(world.catalog, connection).budget for _ in "12")
    heard = Heard(remaining=5, resets_at=datetime.now(UTC) + timedelta(seconds=40))

    assert one.take("calls", None, wanted=3, heard=heard).calls == 3
    assert other.take("calls", None, wanted=3, heard=Heard()).calls == 2
    assert other.take("calls", None, wanted=3, heard=Heard()).calls == 0


def test_telling_what_was_used_gives_out_nothing(world, connection):
    budget = surroundings_of(world.catalog, connection).budget
    slow = Rate(calls=1, per=timedelta(hours=1))
    assert budget.take("calls", slow, wanted=1, heard=Heard()).calls == 1

    budget.tell("calls", Heard(calls=7, throttles=2))

    assert budget.take("calls", slow, wanted=1, heard=Heard()).calls == 0
    [spent] = [one for one in spent_of(world) if one.connection.endswith(connection.name)]
    assert (spent.calls, spent.throttles) == (7, 2)


def test_a_connection_that_is_gone_goes_on_alone(world, connection):
    budget = surroundings_of(world.catalog, connection).budget
    gone = surroundings_of(world.catalog, replace(connection, id=uuid4())).budget

    assert gone.take("calls", RATE, wanted=1, heard=Heard()).calls == 1
    assert budget.take("calls", RATE, wanted=1, heard=Heard()).calls == 1


def test_a_source_that_the_engine_opens_counts_its_calls(world, connection):
    with FakeApi() as api:
        api.route("GET", "/orders", lambda request: Reply.json([{"id": 1}]))
        configured = replace(connection, config=config(api.url, orders(records="")))

        with closing(open_source(world.catalog, configured)) as source:
            source.check()

    [spent] = [one for one in spent_of(world) if one.connection.endswith(connection.name)]
    assert spent.calls == 1


def test_a_rotated_refresh_token_is_kept_before_it_is_used(world, connection):
    with FakeApi() as api:
        seen: list[str] = []
        rotate(api, world, connection, seen)
        for _ in range(2):
            signer_of(api, world, connection).sign(Call(path="/"), api.url)

    store = surroundings_of(world.catalog, connection).tokens
    assert store.load().refresh_token == "refresh-1"
    assert seen == ["refresh-0"]


def test_two_runs_refresh_once(world, connection):
    """The second waits for the first, and takes what it brought."""
    with FakeApi() as api:
        seen: list[str] = []
        begun, go_on = Event(), Event()
        rotate(api, world, connection, seen, begun=begun, go_on=go_on)
        signed = []

        def run():
            signer = signer_of(api, world, connection)
            signed.append(signer.sign(Call(path="/"), api.url).headers)

        threads = [Thread(target=run) for _ in "12"]
        threads[0].start()
        begun.wait(5)
        threads[1].start()
        threads[1].join(0.2)
        go_on.set()
        for thread in threads:
            thread.join()

    assert seen == ["refresh-0"]
    assert signed[0] == signed[1]


def test_tokens_are_encrypted_and_survive_a_rotation_of_the_key(catalog_url, key):
    fresh = SecretBox((new_key(), key))
    world = World(open_catalog(catalog_url, SecretBox((key,))))
    connection = world.sync(connector="rest_api").source
    store = surroundings_of(world.catalog, connection).tokens
    with store.lock():
        store.save(Tokens(access_token="open sesame", refresh_token="again"))

    with world.catalog.begin() as db:
        sealed = db.exec_driver_sql("SELECT sealed FROM sync.connection_tokens").scalars().all()
        syncs.rotate_secrets_for_all_tenants(db, fresh)

    assert not any("sesame" in one for one in sealed)
    world.catalog.close()
    with closing(open_catalog(catalog_url, fresh)) as catalog:
        assert surroundings_of(catalog, connection).tokens.load().access_token == "open sesame"


def test_tokens_are_not_kept_when_the_refresh_fails_halfway(world, connection):
    store = surroundings_of(world.catalog, connection).tokens

    with pytest.raises(RuntimeError), store.lock():
        store.save(Tokens(access_token="half"))
        raise RuntimeError

    assert store.load() is None


def spent_of(world):
    with world.catalog.begin() as db:
        return budgets.spent_for_all_tenants(db)


def signer_of(api, world, connection):
    app = App(token_url=f"{api.url}/token", client_id="me", allow_private=True)
    return OAuth2Signer(
        endpoint=TokenEndpoint(app=app),
        store=surroundings_of(world.catalog, connection).tokens,
        refresh_token="refresh-0",
    )


def rotate(api, world, connection, seen, *, begun=None, go_on=None):
    """A token endpoint that takes each refresh token once."""

    def grant(request):
        seen.append(
            dict(pair.split("=") for pair in request.body.decode().split("&"))["refresh_token"]
        )
        if begun is not None:
            begun.set()
            go_on.wait(5)
        return Reply.json(
            {
                "access_token": f"access-{len(seen)}",
                "refresh_token": f"refresh-{len(seen)}",
                "expires_in": 3600,
            }
        )

    api.route("POST", "/token", grant)
