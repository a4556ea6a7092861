"""Which deliverers live: each holds a lock, and the server lets go of it when its process ends.

Laws:

* Whose lock is gone has ended, or has lost its connection; nobody's clock is asked.
* A lock that outlives its process (its machine is cut off) proves nothing: what it has taken
  lapses with `delivering.LEASE`, as does what was taken without a lock.
"""

from contextlib import suppress
from random import Random

from sqlalchemy import Connection as Db
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from sync_pipelines.catalog.store import Catalog

LOCKS = 728_355
"""The first half of the keys of these advisory locks; the second is the deliverer's number."""

LIVING = f"""
    SELECT objid::bigint FROM pg_locks
    WHERE locktype = 'advisory' AND classid = {LOCKS} AND objsubid = 2 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
"""The numbers of those that live, as SQL."""

_HOLD = text("SELECT pg_advisory_lock_shared(:locks, :number)")


class Presence:
    """A deliverer's sign of life, on a connection of its own. For one thread; to be closed."""

    def __init__(self, catalog: Catalog, rng: Random) -> None:
        self._catalog = catalog
        self._db: Db | None = None
        self.number = rng.getrandbits(31)

    def hold(self) -> None:
        """See that the lock is held: its connection may have been cut meanwhile."""
        if self._db is not None:
            try:
                self._db.execute(text("SELECT 1"))
                return
            except DBAPIError:
                self.close()
        db = self._catalog.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self._db = db
        # Shared, so that the server's memory of a connection that was cut is not waited for.
        db.execute(_HOLD, {"locks": LOCKS, "number": self.number})

    def close(self) -> None:
        """Let go of it; safe to call twice."""
        db, self._db = self._db, None
        if db is not None:
            with suppress(DBAPIError):
                db.invalidate()  # back in the pool, its connection would still hold the lock
            db.close()
