"""Audited changes are a chain."""

from datetime import UTC, datetime

from sqlalchemy import select

from sync_pipelines.catalog import audit
from sync_pipelines.catalog.tables import AuditRow


def test_the_audit_chain_covers_every_row_and_the_one_before(world):
    """R133."""
    with world.catalog.begin() as db:
        for number in range(3):
            audit.record(
                db,
                at=datetime(2026, 1, 1, tzinfo=UTC),
                actor="cli",
                action="sync.changed",
                subject=f"acme/{number}",
                tenant_id=None,
                after={"number": number},
            )
        rows = list(db.execute(select(AuditRow.__table__).order_by(AuditRow.id)).mappings())

    content = [{k: v for k, v in row.items() if k not in ("id", "hash")} for row in rows]
    assert [audit.digest(row) for row in content] == [row["hash"] for row in rows]
    assert [row["previous_hash"] for row in rows] == [
        audit.GENESIS,
        rows[0]["hash"],
        rows[1]["hash"],
    ]
    assert audit.digest({**content[1], "actor": "someone else"}) != rows[1]["hash"]
