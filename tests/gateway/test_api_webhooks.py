"""`/api/v2/webhooks`: a tenant's endpoints, made and kept by its admins."""

from sync_pipelines.model.roles import Role
from tests.gateway.hooks import SECRET, order, signed
from tests.gateway.people import token

PATH = "/api/v2/webhooks"


def made(api, **fields):
    answer = api.post(PATH, json={"name": "shop", "scheme": "woocommerce", **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_an_endpoint_is_made_takes_webhooks_and_is_forgotten(api):
    endpoint = made(api, secret=SECRET)
    body = order()

    taken = api.post(endpoint["path"], content=body, headers=signed(body))
    gone = api.delete(f"{PATH}/shop")

    assert endpoint["secret"] is None
    assert taken.status_code < 300
    assert (gone.status_code, api.get(PATH).json()["items"]) == (204, [])


def test_a_secret_that_was_made_up_is_shown_once(api):
    secret = made(api)["secret"]

    rotated = api.post(f"{PATH}/shop/rotate", json={}).json()["secret"]

    assert len({secret, rotated}) == 2
    told = api.get(f"{PATH}/shop").text + api.get(PATH).text
    assert secret not in told
    assert rotated not in told


def test_a_given_secret_comes_back_in_no_answer(api):
    answer = api.post(PATH, json={"name": "x", "scheme": "nowhere", "secret": SECRET})

    assert answer.status_code == 422
    assert SECRET not in answer.text


def test_only_admins_see_the_path(api, world):
    made(api)

    told = api.get(f"{PATH}/shop", headers=token(world, "acme", Role.VIEWER)).json()

    assert told["path"] is None
    assert api.get(f"{PATH}/shop").json()["path"].startswith("/webhooks/")


def test_an_endpoint_is_switched_off_and_on_however_often(api):
    made(api)

    verbs = ("disable", "disable", "enable", "enable")
    found = [api.post(f"{PATH}/shop/{verb}").json()["is_on"] for verb in verbs]

    assert found == [False, False, True, True]


def test_a_name_is_taken_once(api):
    made(api)

    assert api.post(PATH, json={"name": "shop", "scheme": "stripe"}).status_code == 409
    assert api.get(f"{PATH}/nowhere").status_code == 404
