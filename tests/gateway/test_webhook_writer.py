"""Many deliveries in one transaction, and one that spoils it."""

import asyncio
from datetime import timedelta
from threading import Event
from uuid import uuid4

import pytest
from sqlalchemy.exc import DataError, OperationalError

from connectors.webhooks.contract import Verdict
from sync_pipelines.catalog.deliveries import Delivery
from sync_pipelines.gateway.webhooks.known import REMEMBERED_SECONDS, Endpoints
from sync_pipelines.gateway.webhooks.tallies import Tallies
from sync_pipelines.gateway.webhooks.writer import (
    AT_ONCE,
    MOST_WAITING,
    BusyError,
    UnstorableError,
    Writer,
)
from sync_pipelines.model.endpoint import Health
from tests.world import START


def delivery(body: bytes = b"good") -> Delivery:
    return Delivery(
        id=uuid4(), tenant_id=uuid4(), endpoint_id=uuid4(), received_at=START, body=body
    )


class Store:
    """Keeps what it is given, as a transaction would: all of it or nothing."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.kept: list[bytes] = []
        self.open = Event()
        self.open.set()

    def __call__(self, batch):
        self.open.wait(5)
        self.batches.append(len(batch))
        if any(one.body == b"away" for one in batch):
            raise OperationalError("INSERT", {}, Exception())
        if any(one.body == b"bad" for one in batch):
            raise DataError("INSERT", {}, Exception())
        self.kept += [one.body for one in batch]
        return [one.id for one in batch]


async def written(
    store: Store, bodies: list[bytes]
) -> tuple[list[BaseException | None], list[object]]:
    """What came of each, and the events that were told of."""
    told: list[object] = []
    writer = Writer(store, stored=told.extend)
    running = asyncio.create_task(writer.run())
    results = await asyncio.gather(
        *(writer.write(delivery(body)) for body in bodies), return_exceptions=True
    )
    await writer.stop()
    await running
    return results, told


def test_one_that_cannot_be_stored_does_not_spoil_the_others_of_its_batch():
    store = Store()

    results, told = asyncio.run(written(store, [b"good"] * 9 + [b"bad"] + [b"good"] * 6))

    assert isinstance(results[9], UnstorableError)
    assert [type(one) for one in results].count(type(None)) == 15
    assert store.kept == [b"good"] * 15
    assert len(told) == 15


def test_what_comes_while_a_transaction_commits_goes_into_the_next_together():
    store = Store()

    asyncio.run(written(store, [b"good"] * (AT_ONCE + 10)))

    assert store.batches == [AT_ONCE, 10]


def test_while_the_catalog_is_away_nobody_is_told_that_it_is_stored():
    results, told = asyncio.run(written(Store(), [b"away", b"good"]))

    assert [type(one) for one in results] == [BusyError, BusyError]
    assert told == []


def test_when_too_much_waits_the_next_is_to_come_again():
    async def crowded() -> None:
        writer = Writer(Store(), stored=lambda _: None)
        waiting = [asyncio.create_task(writer.write(delivery())) for _ in range(MOST_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await writer.write(delivery())
        for one in waiting:
            one.cancel()

    asyncio.run(crowded())


def test_what_nobody_waits_for_any_more_is_stored_all_the_same():
    store = Store()
    store.open.clear()

    async def impatient() -> None:
        writer = Writer(store, stored=lambda _: None)
        running = asyncio.create_task(writer.run())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(writer.write(delivery()), 0.05)
        store.open.set()
        await writer.stop()
        await running

    asyncio.run(impatient())

    assert store.kept == [b"good"]


# --- what is known of endpoints, and counted -----------------------------------------------


def test_a_flood_at_one_key_asks_the_catalog_once_and_again_after_a_moment():
    asked: list[str] = []
    now = [0.0]
    endpoints = Endpoints(lambda key: asked.append(key), seconds=lambda: now[0])

    async def flood() -> None:
        await asyncio.gather(*(endpoints.of("k" * 22) for _ in range(100)))

    async def floods() -> list[int]:
        counts = []
        for at in (0.0, REMEMBERED_SECONDS - 0.1, REMEMBERED_SECONDS + 0.1):
            now[0] = at
            await flood()
            counts.append(len(asked))
        return counts

    assert asyncio.run(floods()) == [1, 1, 2]


def test_what_cannot_be_a_key_asks_nobody():
    asked: list[str] = []
    endpoints = Endpoints(lambda key: asked.append(key))

    assert asyncio.run(endpoints.of("k" * 23)) is None
    assert asked == []


def test_a_genuine_request_ends_a_streak_of_refused_ones():
    tallies, endpoint_id = Tallies(), uuid4()
    later = START + timedelta(seconds=1)
    tallies.refused(endpoint_id, START, Verdict.FORGED)
    tallies.received(endpoint_id, later)
    tallies.refused(endpoint_id, later, Verdict.STALE)

    taken = tallies.take()

    wanted = Health(
        received=1,
        refused=2,
        streak=1,
        last_received_at=later,
        last_refused_at=later,
        last_refusal="stale",
    )
    assert taken == {endpoint_id: wanted}
    assert tallies.take() == {}
