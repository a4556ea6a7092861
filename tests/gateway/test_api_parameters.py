"""Parameters that an operation does not have: refused by name, whatever it is that is asked."""

from sync_pipelines.model.roles import Role
from tests.gateway.people import token
from tests.gateway.trespassing import DAILY, routes

V2 = [one for one in routes() if " /api/v2/" in one]


def test_no_operation_takes_a_parameter_that_it_does_not_have(client, world):
    headers = token(world, "acme", Role.ADMIN)

    answers = {
        route: client.request(*route.split(" "), headers=headers, params={"no_such": "1"})
        for route in V2
    }

    assert {
        route: one.status_code for route, one in answers.items() if one.status_code != 422
    } == {}
    assert {one.json()["errors"][0]["field"] for one in answers.values()} == {"query.no_such"}


def test_a_misspelt_filter_is_told_its_name_and_shows_nothing(client, world):
    world.schedule(world.sync("acme/orders"), DAILY)
    headers = token(world, "acme", Role.VIEWER)

    answer = client.get("/api/v2/sync-schedules?is_activ=false&limit=5", headers=headers)

    assert answer.status_code == 422
    assert "items" not in answer.json()
    assert answer.json()["detail"] == (
        "there is no parameter 'is_activ' here; did you mean 'is_active'?"
    )


def test_nothing_is_done_of_what_was_asked(client, world):
    """A dry run whose name is misspelt would otherwise be no dry run."""
    world.sync("acme/orders")
    headers = token(world, "acme", Role.ADMIN)
    wanted = {"sync": "orders", "name": "nightly", "cadence": DAILY}

    refused = client.post("/api/v2/sync-schedules?dryrun=1", json=wanted, headers=headers)

    assert refused.status_code == 422
    assert client.get("/api/v2/sync-schedules", headers=headers).json()["items"] == []


def test_all_that_are_unknown_are_named_and_what_there_is(client, world):
    headers = token(world, "acme", Role.VIEWER)

    answer = client.get("/api/v2/connectors?zzz=1&zzz=2&yyy=", headers=headers)

    assert [one["field"] for one in answer.json()["errors"]] == ["query.zzz", "query.yyy"]
    assert answer.json()["errors"][0]["message"].startswith("there is no parameter 'zzz' here; ")


def test_the_older_api_takes_what_its_callers_send(client, world):
    headers = token(world, "acme", Role.ADMIN)

    answer = client.get("/api/sync/schedules?no_such=1", headers=headers)

    assert answer.status_code == 200
