"""Schedules that are made by way of the API."""

PATH = "/api/v2/sync-schedules"
DAILY = {"type": "daily", "at": "02:00"}


def made(api, name="nightly", **fields):
    """What is answered for a schedule of the sync `orders`, which is there."""
    answer = api.post(PATH, json={"sync": "orders", "name": name, "cadence": DAILY, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()
