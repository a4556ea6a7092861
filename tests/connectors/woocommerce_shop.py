"""A WooCommerce shop as one property after the other has it, and a source that reads it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from connectors.contract import Source
from connectors.http.outside import Outside
from connectors.providers.woocommerce import WooCommerceConfig, api_of, streams
from connectors.rest.source import RestSource
from connectors.testing.fake_api import FakeApi
from connectors.testing.rows import Row
from tests.providers.renamed import FRACTION, Renamed
from tests.providers.woocommerce import KEY, SECRET, WooShop

ORDERS = {"id": "id", "changed_at": "date_modified_gmt", "note": "customer_note"}
CUSTOMERS = {"id": "id", "changed_at": "date_modified_gmt", "note": "first_name"}


def config(api: FakeApi, **more: object) -> dict[str, object]:
    usual = {"store_url": api.url, "consumer_key": KEY, "consumer_secret": SECRET}
    return {**usual, "allow_private_addresses": True, **more}


def opened(api: FakeApi, *, size: int = 2, outside: Outside | None = None) -> RestSource:
    """Two records a page, so that there are pages."""
    spec = api_of(WooCommerceConfig.model_validate(config(api)))
    limits = replace(spec.limits, tries=2)
    return RestSource(
        api=replace(spec, streams=streams(size), limits=limits), outside=outside or Outside()
    )


class WooProvider:
    def __init__(self, api: FakeApi, stream: str) -> None:
        self.shop = WooShop(api)
        self.stream = stream
        self.names = ORDERS if stream == "orders" else CUSTOMERS

    def open(self, outside: Outside | None = None) -> Source:
        source = opened(self.shop.api, outside=outside)
        return Renamed(source=source, name=self.stream, names=self.names, fraction=FRACTION)

    def store(self, row: Row) -> None:
        fields = {self.names["note"]: row.note}
        if self.stream == "orders":
            fields["status"] = "processing"  # also one that was in the trash
        self.shop.put(self.stream, row.id, row.changed_at, **fields)

    def put(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self.store(row)

    def drop(self, identity: int, moment: datetime) -> None:
        if self.stream == "orders":
            self.shop.trash(self.stream, identity, moment)
        else:
            self.shop.remove(self.stream, identity)
