"""A shop's orders and refunds reach the books by the manifest that the document shows."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from connectors.testing.fake_api import FakeApi
from sync_pipelines.catalog.store import Catalog
from tests.cli.bookkeeping import Flow
from tests.cli.conftest import Cli
from tests.providers.quickbooks import QuickBooks
from tests.providers.woocommerce import KEY, SECRET

DOCUMENT = Path(__file__).parents[2] / "docs" / "how-to" / "quickbooks.md"


class Shown(Flow):
    def apply_shown(self) -> None:
        """The document's manifest; only addresses and credentials are those of here."""
        shown = re.findall(r"^```yaml\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
        manifest = yaml.safe_load(shown[-1])
        shop, books = (manifest["connections"][name]["config"] for name in ("shop", "books"))
        shop |= {"store_url": self.shop.api.url, "consumer_key": KEY, "consumer_secret": SECRET}
        shop["allow_private_addresses"] = True
        books |= self.company.config(ledger=f"sqlite:///{self.cli.directory}/ledger.db")
        self.cli.apply(json.dumps(manifest))

    def run(self) -> None:
        self.cli("run", "acme/bookkeeping", "--json")


@pytest.fixture
def flow(cli: Cli, catalog: Catalog, company: QuickBooks) -> Iterator[Shown]:
    with FakeApi() as api:
        yield Shown(cli, api, company)


def test_the_document_s_manifest_brings_orders_changes_and_refunds_to_the_books_once(
    flow: Shown,
) -> None:
    flow.company.put("Account", Name="Checking", AccountType="Bank")
    flow.apply_shown()
    flow.order(1, 1)
    flow.order(2, 2, status="pending", date_paid_gmt=None)
    flow.order(3, 3)
    flow.run()
    first = [one["DocNumber"] for one in flow.company.all("SalesReceipt")]

    flow.order(2, 10)
    flow.order(3, 11, status="cancelled")
    flow.refund(1, 77, 12, "4.50")
    flow.run()
    flow.run()

    receipts = {one["DocNumber"]: one for one in flow.company.all("SalesReceipt")}
    assert sorted(first) == ["1", "3"]
    assert {number: one["TotalAmt"] for number, one in receipts.items()} == {
        "1": 17.33,
        "2": 17.33,
        "3": 0.0,
    }
    assert receipts["3"]["PrivateNote"].startswith("Voided")
    [refund] = flow.company.all("RefundReceipt")
    assert (refund["DocNumber"], refund["TotalAmt"]) == ("R77", 4.5)
    assert [one["DisplayName"] for one in flow.company.all("Customer")] == ["Ann Lee"]
