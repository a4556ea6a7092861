"""Forgets notifications that the retention policy lets go: deliveries, messages, incidents.

Laws: what is on its way, and what is not over, stays; what goes, goes a batch at a time.
Everything here is the installation's, so for all tenants.
"""

from datetime import datetime

from sqlalchemy import TextClause, text

from sync_pipelines.catalog.keeping import BATCH, Forgotten, Stop
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.model.retention import RetentionPolicy

_OLD = {
    "outbox": "state <> 'pending' AND created_at < :before",
    "notifications": """created_at < :before AND NOT EXISTS (
        SELECT FROM sync.incidents i
        WHERE i.id = notifications.incident_id AND i.resolved_at IS NULL)""",
    "incidents": "resolved_at < :before",
}
"""Deliveries first: what they tell of is kept no shorter than they are."""


def forget_told(
    catalog: Catalog,
    policy: RetentionPolicy,
    *,
    now: datetime,
    stop: Stop,
    dry_run: bool = False,
) -> Forgotten:
    """Delete what was told, or was over, longer ago than that is kept."""
    rows, arguments = 0, {"before": now - policy.notices_for, "size": BATCH}
    for table, condition in _OLD.items():
        if dry_run:
            with catalog.begin() as db:
                rows += db.execute(_counting(table, condition), arguments).scalar_one()
            continue
        while True:
            if stop():
                return Forgotten(rows=rows, finished=False)
            with catalog.begin() as db:
                went = db.execute(_deleting(table, condition), arguments).rowcount
            rows += went
            if went < BATCH:
                break
    return Forgotten(rows=rows)


def _counting(table: str, condition: str) -> TextClause:
    return text(f"SELECT count(*) FROM sync.{table} WHERE {condition}")


def _deleting(table: str, condition: str) -> TextClause:
    return text(f"""
        DELETE FROM sync.{table} WHERE id IN (
            SELECT id FROM sync.{table} WHERE {condition}
            LIMIT :size FOR UPDATE SKIP LOCKED)
    """)
