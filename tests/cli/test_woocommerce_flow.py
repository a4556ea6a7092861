"""A shop is copied to PostgreSQL, as the document shows it: from the manifest to the tables."""

import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from connectors.testing.fake_api import FakeApi
from sync_pipelines.catalog.store import Catalog
from tests.cli.conftest import Cli
from tests.providers.woocommerce import KEY, SECRET, WooShop

DOCUMENT = Path(__file__).parents[2] / "docs" / "how-to" / "woocommerce.md"
START = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


class Flow:
    def __init__(self, cli: Cli, api: FakeApi, url: str) -> None:
        self.cli, self.shop, self.url = cli, WooShop(api), url

    def apply(self, warehouse: dict[str, Any]) -> None:
        """The document's manifest, with connections to what is here."""
        shown = re.findall(r"^```yaml\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
        manifest = yaml.safe_load(shown[-1])
        manifest["connections"]["warehouse"] = warehouse
        manifest["connections"]["shop"]["config"] = {
            "store_url": self.shop.api.url,
            "consumer_key": KEY,
            "consumer_secret": SECRET,
            "allow_private_addresses": True,
        }
        self.cli.apply(json.dumps(manifest))

    def order(self, number: int, minute: int, **more: Any) -> None:
        lines = [{"name": "Nut", "quantity": 3, "total": "10.00"}]
        fields = {"number": str(number), "total": "29.35", "line_items": lines, **more}
        self.shop.put("orders", number, at(minute), **fields)

    def run(self) -> None:
        self.cli("run", "acme/shop", "--json")

    def rows(self, query: str) -> Sequence[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return connection.execute(query.encode()).fetchall()


@pytest.fixture
def flow(cli: Cli, catalog: Catalog, postgres_url: str) -> Iterator[Flow]:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS shop CASCADE")
    with FakeApi() as api:
        yield Flow(cli, api, postgres_url)


@pytest.mark.parametrize("connector", ["database", "supabase"])
def test_a_shop_s_data_follows_what_happens_in_it(flow: Flow, connector: str) -> None:
    """R149: everything, then what changed; a refund, a deleted order, one that comes back."""
    place = "url" if connector == "database" else "database"
    flow.apply({"connector": connector, "config": {place: flow.url}})
    for number in range(1, 21):
        flow.order(number, number)
    flow.shop.put("customers", 7, at(1), email="ann@x.ca")
    flow.shop.vary(3, 31, at(1), sku="N1-blue", price="1.50")
    flow.shop.put("coupons", 5, at(1), code="spring", amount="5.00")
    flow.run()
    first = flow.rows("SELECT count(*), sum(total), max(_deleted_at) FROM shop.orders")

    flow.order(1, 30, total="31.00")
    flow.shop.refund(2, 201, "4.50", at(31))
    flow.order(21, 32)
    flow.shop.trash("orders", 3, at(33))
    flow.shop.remove("orders", 4)
    flow.run()
    second = flow.rows("SELECT id FROM shop.orders WHERE _deleted_at IS NOT NULL ORDER BY id")
    flow.order(3, 40, status="processing")
    flow.run()
    third = flow.rows("SELECT id FROM shop.orders WHERE _deleted_at IS NOT NULL ORDER BY id")

    [(count, total, deleted)] = first
    assert (count, str(total), deleted) == (20, "587.00", None)
    assert (second, third) == ([(3,), (4,)], [(4,)])
    assert flow.rows("SELECT total::text, number FROM shop.orders WHERE id IN (1, 21)") == [
        ("31.00", "1"),
        ("29.35", "21"),
    ]
    assert flow.rows("SELECT id, order_id, amount::text FROM shop.refunds") == [(201, 2, "4.50")]
    assert flow.rows("SELECT email FROM shop.customers") == [("ann@x.ca",)]
    assert flow.rows("SELECT sku, price::text FROM shop.variations") == [("N1-blue", "1.50")]
    assert flow.rows("SELECT code, amount::text FROM shop.coupons") == [("spring", "5.00")]
    assert flow.rows("SELECT id, type, variations::text FROM shop.products") == [
        (3, "variable", "[31]")
    ]
    assert flow.rows("SELECT date_modified_gmt::text FROM shop.orders WHERE id = 1") == [
        ("2026-03-01 10:30:00+00",)
    ]


def test_an_execution_without_changes_writes_nothing(flow: Flow) -> None:
    flow.apply({"connector": "database", "config": {"url": flow.url}})
    flow.order(1, 1)
    flow.run()
    before = flow.rows("SELECT xmin::text FROM shop.orders")

    flow.run()

    assert flow.rows("SELECT xmin::text FROM shop.orders") == before
