"""A shop whose orders and refunds go to QuickBooks, by the commands that people give."""

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from connectors.testing.fake_api import FakeApi
from tests.providers.quickbooks import QuickBooks
from tests.providers.woocommerce import KEY, SECRET, WooShop

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

ANN = {
    "first_name": "Ann",
    "last_name": "Lee",
    "email": "ann@x.ca",
    "phone": "555",
    "address_1": "1 Main",
    "city": "Calgary",
    "country": "CA",
}
START = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)


class Flow:
    """A sync of a shop to a company's books, both of which are doubles."""

    def __init__(self, cli: "Cli", api: FakeApi, company: QuickBooks) -> None:
        self.cli, self.shop, self.company = cli, WooShop(api), company

    def apply(self, *, refunds: bool = False, **books: Any) -> None:
        source = {
            "store_url": self.shop.api.url,
            "consumer_key": KEY,
            "consumer_secret": SECRET,
            "allow_private_addresses": True,
        }
        ledger = f"sqlite:///{self.cli.directory}/ledger.db"
        config = self.company.config(ledger=ledger, income_account="Sales", **books)
        streams = [
            {"name": name, "sync_mode": "incremental", "write_mode": "upsert"}
            for name in ("orders", *(["refunds"] if refunds else []))
        ]
        manifest = {
            "tenant": "acme",
            "connections": {
                "shop": {"connector": "woocommerce", "config": source},
                "books": {"connector": "quickbooks", "config": config},
            },
            "syncs": {"orders": {"source": "shop", "destination": "books", "streams": streams}},
        }
        self.cli.apply(json.dumps(manifest))

    def order(self, number: int, minute: int, **more: Any) -> None:
        """An order is made or changed, so many minutes after the start."""
        fields = {
            "number": str(number),
            "status": "processing",
            "currency": "CAD",
            "total": "17.33",
            "total_tax": "0.75",
            "date_paid_gmt": "2026-03-02T09:00:00",
            "billing": ANN,
            "line_items": [
                {"name": "Nut", "sku": "N1", "quantity": 3, "total": "10.00", "total_tax": "0.50"},
                {"name": "Gift: card", "sku": "", "quantity": 1, "total": "1.58", "total_tax": "0"},
            ],
            "shipping_lines": [{"method_title": "Post", "total": "5.00", "total_tax": "0.25"}],
            "fee_lines": [],
            **more,
        }
        self.shop.put("orders", number, START + timedelta(minutes=minute), **fields)

    def refund(self, order: int, number: int, minute: int, amount: str, **more: Any) -> None:
        self.shop.refund(order, number, amount, START + timedelta(minutes=minute), **more)

    def run(self) -> None:
        self.cli("run", "acme/orders", "--json")
