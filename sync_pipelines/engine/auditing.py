"""Writes every execution that has ended into the audit, soon after its end.

Laws:

* Once: in one transaction that also marks the execution as audited. Whoever is killed has
  done nothing, and the next look does it.
* Not in the transaction that settles: all tenants share the chain, and no run waits for
  another tenant's.
* In no circle: the chain's end is held first, and then no execution is waited for.
"""

from datetime import datetime

from sync_pipelines.catalog import audit, audited
from sync_pipelines.catalog.store import Catalog

AT_ONCE = 500
"""Executions that one transaction writes down: the chain is held for a moment only."""


def audit_ended(catalog: Catalog, now: datetime) -> int:
    """Write down those that have ended and are not yet in the audit; how many there were."""
    done = 0
    while True:
        with catalog.begin() as db:
            if not audited.is_any_unaudited_for_all_tenants(db):
                return done
            previous = audit.hold_chain(db)
            ends = audited.take_unaudited_for_all_tenants(db, now=now, limit=AT_ONCE)
            if ends:
                audit.append(db, previous, ends)
        done += len(ends)
        if len(ends) < AT_ONCE:
            return done
