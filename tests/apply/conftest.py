"""A catalog that files are applied to, and who applies them."""

from collections.abc import Iterator
from datetime import datetime

import pytest
from sqlalchemy import text

from connectors import registry
from sync_pipelines.apply import act
from sync_pipelines.apply.changes import Plan
from sync_pipelines.apply.parse import parse_manifest
from sync_pipelines.catalog.store import Catalog
from tests.apply.shop import SHOP
from tests.world import START, make_catalog


@pytest.fixture(scope="module")
def module_catalog(postgres_url: str) -> Iterator[Catalog]:
    opened = make_catalog(postgres_url)
    yield opened
    opened.close()


@pytest.fixture
def catalog(module_catalog: Catalog) -> Catalog:
    """An empty one."""
    with module_catalog.begin() as db:
        db.execute(text("DELETE FROM sync.syncs"))
        db.execute(text("DELETE FROM sync.tenants"))
        db.execute(text("DELETE FROM sync.audit_log"))
    return module_catalog


@pytest.fixture
def one_sided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two more connectors: `well` is only a source, `drain` only a destination."""
    for name in ("well", "drain"):
        monkeypatch.setitem(registry.BUILT_IN, name, f"tests.apply.one_sided:{name.upper()}")


class Applier:
    """Applies texts to one catalog, as one person at one time."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.environment: dict[str, str] = {}

    def __call__(self, written: str, *, now: datetime = START) -> Plan:
        return act.apply(self.catalog, self.parsed(written), now=now, actor="cli:tester")

    def preview(self, written: str, *, now: datetime = START) -> Plan:
        return act.preview(self.catalog, self.parsed(written), now=now)

    def parsed(self, written: str):
        return parse_manifest(written, file="acme.yaml", environment=self.environment)


@pytest.fixture
def apply(catalog: Catalog) -> Applier:
    return Applier(catalog)


@pytest.fixture
def shop(apply: Applier) -> Applier:
    """The file above, applied."""
    apply.environment["WAREHOUSE_URL"] = "sqlite:////tmp/house.db"
    apply(SHOP)
    return apply
