import json
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, insert, select

from sync_pipelines.catalog.syncs import find_sync
from sync_pipelines.catalog.tables import ExecutionRow


def cancelled(catalog, *, days):
    """An execution of the shop's sync that was cancelled so many days ago."""
    at = datetime.now(UTC) - timedelta(days=days)
    with catalog.begin() as db:
        sync = find_sync(db, catalog.secrets, "acme/orders")
        row = {"tenant_id": sync.tenant_id, "sync_id": sync.id, "trigger": "manual"}
        ended = {"status": "cancelled", "completed_at": at, "followed_up_at": at}
        db.execute(insert(ExecutionRow).values(**row, **ended, created_at=at))


def count(catalog):
    with catalog.begin() as db:
        return db.scalar(select(func.count()).select_from(ExecutionRow))


def test_housekeeping_says_what_would_go_and_then_what_went(cli, catalog, shop):
    cancelled(catalog, days=31)
    cancelled(catalog, days=29)

    would = json.loads(cli("housekeeping", "--dry-run", "--json").stdout)
    before = count(catalog)
    did = cli("housekeeping").stdout

    assert would == {
        "dry_run": True,
        "executions": 1,
        "decisions": 0,
        "notices": 0,
        "webhook_events": 0,
        "runs": 0,
        "events": 0,
        "ticks": 0,
    }
    assert before == 2
    assert [line.split() for line in did.splitlines()][1] == ["executions", "1"]
    assert count(catalog) == 1


def test_the_environment_says_for_how_long(cli, catalog, shop, monkeypatch):
    cancelled(catalog, days=31)
    monkeypatch.setenv("SYNC_RETENTION_DAYS", "400")

    kept = json.loads(cli("housekeeping", "--json").stdout)
    monkeypatch.setenv("SYNC_RETENTION_DAYS", "0")
    refused = cli("housekeeping", fails=1)

    assert kept["executions"] == 0
    assert "SYNC_RETENTION_DAYS" in refused.output
