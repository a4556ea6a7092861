"""What may not lead inside is looked at whenever it is opened: SSRF."""

from dataclasses import replace
from uuid import uuid4

import pytest

from connectors import registry
from connectors.errors import ConfigError, TransientError
from connectors.surroundings import Surrounded
from connectors.testing.fake_api import FakeApi, Reply
from sync_pipelines.catalog.syncs import find_connection, find_tenant_id, put_connection
from sync_pipelines.engine.surroundings import (
    check_reach,
    open_destination,
    open_source,
    surroundings_of,
)
from sync_pipelines.model.sync import Connection
from tests.connectors.rest_systems import config, orders
from tests.world import World, make_catalog

PUBLIC = "93.184.215.14"


def connection(connector, settings):
    return Connection(
        id=uuid4(),
        tenant="acme",
        name="shop",
        connector=connector,
        config=settings,
        reaches_private=False,
    )


@pytest.fixture
def world(postgres_url):
    catalog = make_catalog(postgres_url)
    yield World(catalog)
    catalog.close()


KINDS = [
    ("database", {"url": "postgresql://u@shop.example.com/x"}),
    ("database", {"url": "mysql://u:p@shop.example.com/x"}),
    ("mongodb", {"url": "mongodb://shop.example.com/", "database": "x"}),
    ("files", {"url": "sftp://u@shop.example.com/in"}),
    ("files", {"url": "s3://b/x", "endpoint": "https://shop.example.com",
               "access_key_id": "a", "secret_access_key": "b"}),
    ("stripe", {"api_key": "rk_test_x", "base_url": "https://shop.example.com"}),
]  # fmt: skip


@pytest.mark.parametrize(("connector", "settings"), KINDS)
def test_a_name_that_has_come_to_lead_inside_is_not_followed(connector, settings):
    """DNS rebinding: public when it was saved, inside when it is opened."""
    answers = iter([[PUBLIC], [PUBLIC], ["10.0.0.7"], ["10.0.0.7"]])
    found = connection(connector, settings)

    check_reach(found, lookup=lambda host: next(answers))
    with pytest.raises(ConfigError, match="shop"):
        check_reach(found, lookup=lambda host: next(answers))


def test_a_name_without_an_address_is_tried_again_later():
    found = connection("database", {"url": "postgresql://u@shop.example.com/x"})

    with pytest.raises(TransientError, match="no address"):
        check_reach(found, lookup=lambda host: [])


def test_what_the_operator_vouches_for_is_not_looked_up():
    found = replace(connection("database", {"url": "postgresql://u@x/y"}), reaches_private=True)

    check_reach(found, lookup=lambda host: pytest.fail("it was looked up"))


@pytest.mark.parametrize("open_end", [open_source, open_destination])
def test_both_ends_are_looked_at_before_anything_is_opened(open_end):
    found = connection("database", {"url": "postgresql://u@10.0.0.7/x"})

    with pytest.raises(ConfigError, match=r"10\.0\.0\.7"):
        open_end(None, found)


def test_a_connection_that_asks_for_it_does_not_get_inside_by_asking(world):
    """``allow_private_addresses`` of a connection is a tenant's word, not the operator's."""
    world.sync("acme/asking")
    with FakeApi() as api:
        api.route("GET", "/orders", lambda request: Reply.json([{"id": 1}]))
        found = connection("rest_api", config(api.url, orders(records="")))
        source = registry.get("rest_api").open_source(found.config)
        assert isinstance(source, Surrounded)
        source.surround(surroundings_of(world.catalog, found))

        with pytest.raises(ConfigError, match="allow_private_addresses"):
            source.check()

        source.close()
    assert api.requests == []


def test_how_far_a_connection_may_reach_is_kept_with_it(world):
    world.sync("acme/reaching")
    with world.catalog.begin() as db:
        tenant_id = find_tenant_id(db, "acme")
        for name, reaches in (("in", True), ("out", False)):
            put_connection(
                db, tenant_id, name=name, connector="database", config={"url": "sqlite:////x"},
                sealed=None, key_id=None, reaches_private=reaches, now=world.clock(),
            )  # fmt: skip
        found = [find_connection(db, world.catalog.secrets, f"acme/{one}") for one in ("in", "out")]

    assert [one.reaches_private for one in found] == [True, False]
