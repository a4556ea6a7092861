"""``Idempotency-Key``: a request that is sent twice does its work once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import update

from sync_pipelines.catalog.idempotency import forget_for_all_tenants
from sync_pipelines.catalog.tables import IdempotencyRow
from tests.gateway.scheduling import DAILY, PATH, made

pytestmark = pytest.mark.usefixtures("acme")


def test_a_trigger_that_is_sent_twice_starts_once(api, world, launched):
    """The answer is lost, and the client tries again under its key."""
    schedule = made(api)
    url = f"{PATH}/{schedule['id']}/trigger"

    first, second = (api.post(url, headers={"Idempotency-Key": "k-1"}) for _ in range(2))
    other = api.post(url, json={"full": True}, headers={"Idempotency-Key": "k-1"})

    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == second.json()
    assert second.headers["Idempotency-Replayed"] == "true"
    assert len(launched) == 1
    assert other.status_code == 422


def test_a_key_whose_request_was_refused_is_free_again(api, world):
    key = {"Idempotency-Key": "k-2"}
    wanted = {"sync": "orders", "name": "nightly", "cadence": DAILY}

    refused = api.post(PATH, json={**wanted, "timezone": "Mars"}, headers=key)
    taken = api.post(PATH, json=wanted, headers=key)

    assert (refused.status_code, taken.status_code) == (422, 201)


def test_a_key_whose_request_is_still_at_work_starts_nothing(api, world):
    schedule = made(api)
    url = f"{PATH}/{schedule['id']}/trigger"
    api.post(url, headers={"Idempotency-Key": "k-3"})
    with world.catalog.begin() as db:
        db.execute(update(IdempotencyRow).values(status=None, body=None))

    answer = api.post(url, headers={"Idempotency-Key": "k-3"})

    assert answer.status_code == 409
    assert "Retry-After" in answer.headers


def test_a_key_is_remembered_for_a_day_and_then_forgotten(api, world, launched):
    url = f"{PATH}/{made(api)['id']}/trigger"
    for key in ("k-5", "k-6"):
        api.post(url, headers={"Idempotency-Key": key})
    world.clock.advance(hours=25)

    again = api.post(url, headers={"Idempotency-Key": "k-5"})
    with world.catalog.begin() as db:
        forgotten = forget_for_all_tenants(db, now=world.clock())

    assert "Idempotency-Replayed" not in again.headers
    assert len(launched) == 3
    assert forgotten == 1


def test_of_requests_at_once_under_one_key_one_starts_something(api, launched):
    url = f"{PATH}/{made(api)['id']}/trigger"

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(api.post, url, headers={"Idempotency-Key": "k-7"}) for _ in range(4)]
    answers = [one.result() for one in asked]

    assert len(launched) == 1
    assert {one.status_code for one in answers} <= {202, 409}
    assert len({one.text for one in answers if one.status_code == 202}) == 1
