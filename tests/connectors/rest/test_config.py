"""The configuration of ``rest_api``: what is wrong is told by its field, and no secret is shown."""

import pytest

from connectors import registry
from connectors.errors import ConfigError
from connectors.http.oauth import App
from connectors.rest.config import RestApiConfig
from connectors.rest.connector import CONNECTOR, api_of
from connectors.surroundings import Surrounded
from sync_pipelines.apply.secret_fields import split_config
from tests.connectors.rest_systems import PAGES, config, orders

URL = "https://api.shop.example/v1"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"base_url": "shop.example"}, "base_url: .*https://api.example.com/v1"),
        ({"base_url": "https://me:pw@shop.example"}, "base_url: .*credentials go into auth"),
        ({"auth": {"kind": "bearer"}}, "auth.bearer.token"),
        ({"auth": {"kind": "magic"}}, "auth: .*'basic'"),
        ({"rate": {"calls": 0}}, "rate.calls"),
        ({"streams": []}, "streams"),
        ({"streams": [orders(), orders()]}, "'orders' is there twice"),
        ({"streams": [orders(pages={"kind": "number", "size": 0})]}, "streams.0.pages.number.size"),
        ({"streams": [orders(columns={"id": "int"})]}, "streams.0.columns.id"),
        ({"streams": [orders(primary_key=["uid"])]}, "'uid', which is the key"),
        ({"streams": [orders(parent={"stream": "shops"})]}, "'shops', which is no stream"),
        ({"streams": [orders(parent={"stream": "orders"})]}, "hangs from itself"),
        (
            {"streams": [orders(incremental={"field": "changed_at", "pattern": "gte."})]},
            "streams.0.incremental.pattern: .*gte.{}",
        ),
        ({"retries": 3}, "rest_api takes: .*tries"),
    ],
)
def test_what_is_wrong_is_told_by_its_field(wrong, said):
    """R149."""
    with pytest.raises(ConfigError, match=said):
        CONNECTOR.parse({**config(URL, orders()), **wrong})


def test_credentials_are_kept_apart_from_what_may_be_shown():
    whole = config(URL, orders(), auth={"kind": "bearer", "token": "hush"})

    shown, hidden = split_config(CONNECTOR.config, whole)

    assert "auth" in hidden
    assert "hush" not in str(shown)
    assert "hush" not in repr(api_of(RestApiConfig.model_validate(whole)))


@pytest.mark.parametrize("pages", PAGES)
def test_every_way_of_paging_can_be_configured(pages):
    parsed = RestApiConfig.model_validate(config(URL, orders(pages=PAGES[pages])))

    assert api_of(parsed).streams[0].pages


def test_two_spellings_of_one_place_are_one_place():
    places = [CONNECTOR.place(CONNECTOR.parse(config(url, orders()))) for url in (URL, f"{URL}/")]

    assert places[0] == places[1]


def test_a_connection_that_a_person_authorizes_says_where():
    asks = {
        "kind": "oauth2",
        "token_url": f"{URL}/token",
        "authorize_url": f"{URL}/ask",
        "client_id": "me",
    }

    found = CONNECTOR.oauth(CONNECTOR.parse(config(URL, orders(), auth=asks)))

    assert isinstance(found, App)
    assert found.authorize_url == f"{URL}/ask"
    assert CONNECTOR.oauth(CONNECTOR.parse(config(URL, orders()))) is None


def test_the_connector_is_built_in_and_takes_its_surroundings():
    source = registry.get("rest_api").open_source(config(URL, orders()))

    assert isinstance(source, Surrounded)
