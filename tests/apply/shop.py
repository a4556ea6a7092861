"""A shop's file, and what applying files has made of the catalog."""

from datetime import timedelta

from sqlalchemy import text

from sync_pipelines.apply.changes import Plan
from sync_pipelines.catalog.schedules import list_schedules
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.syncs import find_sync
from sync_pipelines.model.schedule import Schedule
from tests.world import START

SECRET = "hunter2-of-the-shop"

SHOP = """\
tenant: acme
connections:
  shop-db:   {connector: database, config: {url: "postgresql://u:hunter2-of-the-shop@h/db"}}
  warehouse:
    connector: database
    config: {url: "${env:WAREHOUSE_URL}", connect_timeout_seconds: 3}
syncs:
  orders:
    source: shop-db
    destination: warehouse
    dataset: shop                      # schema at the destination
    description: All that was ordered
    streams:
      - {name: public.orders, sync_mode: incremental, cursor_field: updated_at,
         primary_key: [id], write_mode: upsert, lag: 5m}
      - {name: public.countries, sync_mode: full, write_mode: replace}
      - currencies
    retry: {max_attempts: 3, initial: 2s, factor: 2, ceiling: 15m, jitter: 0.25}
    schedules:
      nightly: {type: daily, at: "02:00", timezone: America/Edmonton}
"""
LATER = START + timedelta(days=3)


def schedules(catalog: Catalog, key: str = "acme/orders") -> dict[str, Schedule]:
    with catalog.begin() as db:
        sync = find_sync(db, catalog.secrets, key)
        found = list_schedules(db, sync.id, tenant_id=sync.tenant_id)
    return {schedule.name: schedule for schedule in found}


def told(plan: Plan) -> list[tuple[str, list[str]]]:
    return [(f"{c.kind} {c.name}", [field.field for field in c.fields]) for c in plan.changes]


def snapshot(catalog: Catalog) -> str:
    """Every row that applying could touch."""
    tables = ("tenants", "connections", "syncs", "sync_schedules", "audit_log")
    with catalog.begin() as db:
        return "\n".join(
            str(db.execute(text(f"SELECT * FROM sync.{table} ORDER BY 1")).all())
            for table in tables
        )
