"""All that an attempt with nothing new asks of the catalog, asked once about nothing real.

To put a statement together takes SQLAlchemy longer than to send it, and it does so once for an
engine: a process that is forked with one that has rehearsed begins where others get to.

Law: nothing stays, and nobody sees any of it: it is one transaction, which is rolled back.
"""

from datetime import UTC, datetime
from uuid import uuid4

import sqlalchemy

from connectors.contract import State
from sync_pipelines.catalog import endings, executions, syncs
from sync_pipelines.catalog.secrets import SecretBox, new_key
from sync_pipelines.engine.outcome import Outcome, StreamResult
from sync_pipelines.engine.settle import put
from sync_pipelines.model.execution import Status, Trigger
from sync_pipelines.model.sync import Sync, SyncStream

_THEN = datetime(2000, 1, 1, tzinfo=UTC)


def rehearse(engine: sqlalchemy.Engine) -> None:
    """Claim, settle and follow up an execution that there is not; the catalog is as it was."""
    with engine.connect() as db:
        _attempt(db, SecretBox((new_key(),)))
        db.rollback()


def _attempt(db: sqlalchemy.Connection, secrets: SecretBox) -> None:
    sync = _made(db, secrets)
    execution_id = executions.create(
        db, tenant_id=sync.tenant_id, sync_id=sync.id, trigger=Trigger.SCHEDULED, now=_THEN
    )
    execution = executions.lock_for_all_tenants(db, execution_id)
    assert execution is not None
    started = execution.started(_THEN, run_id=str(execution_id))
    executions.start(db, execution, started, now=_THEN)
    result = StreamResult(stream="nothing", state=State(version=1, value={}), committed_at=_THEN)
    outcome = Outcome(status=Status.COMPLETED)
    ended = started.ended(outcome.status, _THEN)
    put(db, started, ended, outcome, [result], now=_THEN)
    endings.mark_unnoticed(db, ended, now=_THEN)


def _made(db: sqlalchemy.Connection, secrets: SecretBox) -> Sync:
    """A sync of a tenant of its own, found as an attempt finds its own."""
    tenant = f"rehearsal-{uuid4()}"
    tenant_id = syncs.put_tenant(db, tenant)
    syncs.put_connection(
        db,
        tenant_id,
        name="both",
        connector="database",
        config={},
        sealed=None,
        key_id=None,
        now=_THEN,
    )
    both = syncs.find_connection(db, secrets, f"{tenant}/both")
    sync = Sync(
        id=tenant_id,
        tenant_id=tenant_id,
        tenant=tenant,
        name="sync",
        source=both,
        destination=both,
        dataset="nothing",
        streams=(SyncStream(name="nothing"),),
    )
    syncs.put_sync(db, tenant_id, sync=sync, description=None, now=_THEN)
    return syncs.find_sync(db, secrets, sync.key)
