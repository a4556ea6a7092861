"""How many calls of one connection are under way at a time, over all processes.

Laws:

* A place is an advisory lock of a session: when its process ends, however it does, the
  server gives it back. Only a call that is under way has one.
* Who has a place never waits in the server for another, so no two wait for each other; who
  has none stands in the server's queue, so nobody is passed over for ever.
"""

from contextlib import suppress
from threading import Condition

from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection as Db
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

LOCKS = 728_356
"""The first half of the keys of these locks; the second is a hash of connection and place."""

BRIEF_MS = 500
"""So long one waits before one looks at all places anew."""

# A session may take its own lock again, so its own places are left out.
_TRY = text("""
SELECT place FROM generate_series(1, :most) AS place
 WHERE CASE WHEN place = ANY(:held) THEN false
            ELSE pg_try_advisory_lock(:locks, hashtext(:name || place)) END
 LIMIT 1
""")

_WAIT = text("""
WITH brief AS MATERIALIZED (
    SELECT set_config('lock_timeout', :brief, true) AS timeout,
           1 + floor(random() * :most)::int AS place)
SELECT place, pg_advisory_lock(:locks, hashtext(:name || place)) FROM brief
""")

_LEAVE = text("SELECT pg_advisory_unlock(:locks, hashtext(:name || :place))")


class Places:
    """Those that one opened connection has, all on one session; safe from any thread.

    ``name`` tells connections apart. The session is of the pool while none is held.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._name = f"{name}/"
        self._db: Db | None = None
        self._held: set[int] = set()
        self._changed = Condition()

    def enter(self, most: int) -> int | None:
        """One of ``most`` places; None when for a brief while there was none."""
        with self._changed:
            sound = False
            try:
                place = self._entered(most)
                sound = True
            finally:
                if not sound:
                    self._lose()
            if place is not None:
                self._held.add(place)
            self._rest()
            return place

    def leave(self, place: int) -> None:
        """Give a place back, once."""
        with self._changed:
            if place not in self._held:
                return  # lost with its session
            sound = False
            try:
                self._session().execute(
                    _LEAVE, {"locks": LOCKS, "name": self._name, "place": str(place)}
                )
                sound = True
            finally:
                if not sound:
                    self._lose()
            self._held.discard(place)
            self._rest()
            self._changed.notify()

    def _entered(self, most: int) -> int | None:
        place = self._try(most)
        if place is not None or not self._held:
            return self._wait(most) if place is None else place
        self._changed.wait(BRIEF_MS / 1000)
        return self._try(most)

    def _try(self, most: int) -> int | None:
        values = {"most": most, "held": list(self._held), "locks": LOCKS, "name": self._name}
        found: int | None = self._session().scalar(_TRY, values)
        return found

    def _wait(self, most: int) -> int | None:
        values = {"most": most, "brief": f"{BRIEF_MS}ms", "locks": LOCKS, "name": self._name}
        try:
            return int(self._session().execute(_WAIT, values).one().place)
        except OperationalError as error:
            if isinstance(error.orig, LockNotAvailable):
                return None
            raise

    def _session(self) -> Db:
        if self._db is None:
            db = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            self._db = db
        return self._db

    def _rest(self) -> None:
        if not self._held and self._db is not None:
            self._db.close()
            self._db = None

    def _lose(self) -> None:
        """Let the session go, and with it all places: who knows what it still holds."""
        db, self._db = self._db, None
        self._held.clear()
        if db is not None:
            with suppress(DBAPIError):
                db.invalidate()
            db.close()
