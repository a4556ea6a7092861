"""The short ways and the long way of following up an end come to the same."""

from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sync_pipelines.engine.aftermath import follow_up
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.model.execution import Status
from tests.engine.ending import executions_of, finish, start
from tests.engine.settling import run
from tests.engine.twins import MOVES, WAYS, Twin, everything, uneventful
from tests.world import FakeClock, World, make_catalog


@pytest.fixture(scope="module")
def catalog(postgres_url):
    catalog = make_catalog(postgres_url)
    yield catalog
    catalog.close()


_pairs = count()


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    moves=st.lists(st.sampled_from(MOVES), max_size=6),
    status=st.sampled_from([Status.COMPLETED] * 5 + [Status.FAILED, Status.PARTIAL]),
    waiting=st.booleans(),
)
def test_whatever_has_happened_the_short_ways_end_as_the_long_way(catalog, moves, status, waiting):
    number = next(_pairs)
    outcomes = []
    for way in WAYS:
        twin = Twin(World(catalog, FakeClock()), f"{way.__name__.replace('_', '-')}-{number}")
        for move in moves:
            twin.world.clock.advance(seconds=1)
            getattr(twin, move)()

        twin.end(way, status, waiting=waiting)

        outcomes.append(everything(twin))

    assert outcomes[0] == outcomes[1] == outcomes[2]


@pytest.mark.parametrize(
    "moves",
    [
        [],
        ["complete"],
        ["run_often", "learn_in_report", "follow_another"],
        ["fail", "complete"],
        ["fail_report"],
        ["send", "cancel_what_waits"],
    ],
)
def test_a_success_that_concerns_nobody_is_marked_by_one_statement(world, moves):
    twin = Twin(world, "acme")
    Twin(world, "globex").follow()
    for move in moves:
        getattr(twin, move)()
    cleared = [one.id for one in executions_of(world, twin.orders) if one.status.is_final]
    for execution_id in cleared:
        follow_up(world.catalog, execution_id, world.clock())

    ended = run(world, twin.orders, Status.COMPLETED, followed=False)

    assert uneventful(world, ended)


@pytest.mark.parametrize(
    "moves",
    [
        ["fail", "be_discarded"],
        ["fail", "complete_one_stream"],
        ["fail_left_behind"],
        ["complete_left_behind"],
        ["follow"],
        ["follow_by_whole_name"],
        ["learn"],
    ],
)
def test_a_success_that_may_concern_somebody_goes_the_long_way(world, moves):
    twin = Twin(world, "acme")
    for move in moves:
        world.clock.advance(seconds=1)
        getattr(twin, move)()

    ended = run(world, twin.orders, Status.COMPLETED, followed=False)

    assert not uneventful(world, ended)


def test_a_success_that_answers_an_event_goes_the_long_way(world):
    twin = Twin(world, "acme")
    twin.send()
    (answer,) = executions_of(world, twin.orders)

    start(world, answer.id)
    finish(world, answer.id)

    (ended,) = executions_of(world, twin.orders)
    assert ended.status is Status.COMPLETED
    assert not uneventful(world, ended)


@pytest.mark.parametrize("status", [Status.FAILED, Status.PARTIAL, Status.CANCELLED])
def test_what_did_not_succeed_goes_the_long_way(world, status):
    ended = run(world, world.sync(), status, followed=False)

    assert not uneventful(world, ended)


def test_what_has_not_ended_is_not_marked(world):
    sync = world.sync()
    start(world, trigger(world.catalog, sync, now=world.clock()))

    (running,) = executions_of(world, sync)
    assert not uneventful(world, running)
