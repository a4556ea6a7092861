"""Keeps watch from outside Dagster, so that a dead daemon is noticed although it is dead.

Law: an alarm is said when it begins and when it is over, not at every look.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from threading import Event, Thread

from sqlalchemy.exc import SQLAlchemyError

from connectors.errors import ConnectorError
from sync_pipelines.catalog.incidents import Alarm, Kind
from sync_pipelines.catalog.store import Catalog, open_catalog
from sync_pipelines.clock import Clock, system_clock
from sync_pipelines.engine.signs import note_signs
from sync_pipelines.engine.watch import EVERY_SECONDS
from sync_pipelines.runtime.processes import Say
from sync_pipelines.runtime.session import secret_box
from sync_pipelines.runtime.webserver import note_webserver
from sync_pipelines.settings import Settings

STOP_SECONDS = 10.0


class Lookout:
    """Looks at the signs of life in a catalog, and says what is new.

    ``url`` is the webserver's, of which it leaves word at every look.
    """

    def __init__(self, catalog: Catalog, say: Say, clock: Clock, *, url: str | None = None) -> None:
        self._catalog = catalog
        self._say = say
        self._clock = clock
        self._url = url
        self._awake_since: datetime = clock()
        self._told: dict[tuple[Kind, str], Alarm] = {}

    def look(self) -> None:
        """One look; the incidents in the catalog are kept by it too."""
        with self._catalog.begin() as db:
            alarms = note_signs(db, self._clock(), awake_since=self._awake_since)
            if self._url is not None:
                note_webserver(db, self._url, self._clock())
        found = {(alarm.kind, alarm.subject): alarm for alarm in alarms}
        for key, alarm in found.items():
            if key not in self._told:
                self._say(f"ALARM {alarm.kind}: {alarm.message}. What helps: {alarm.remedy}")
        for key, alarm in self._told.items():
            if key not in found:
                self._say(f"over: {alarm.kind} of {alarm.subject}")
        self._told = found

    def leave(self) -> None:
        """Take back the word of the webserver, which is about to end."""
        if self._url is not None:
            with self._catalog.begin() as db:
                note_webserver(db, None, self._clock())


class Watching:
    """A `Lookout` in a thread of its own while a ``with`` block runs."""

    def __init__(
        self,
        open_it: Callable[[], Catalog],
        say: Say,
        *,
        clock: Clock = system_clock,
        every_seconds: float = EVERY_SECONDS,
        url: str | None = None,
    ) -> None:
        self._open = open_it
        self._say = say
        self._clock = clock
        self._every_seconds = every_seconds
        self._url = url
        self._done = Event()
        self._thread = Thread(target=self._watch, name="watch", daemon=True)

    def __enter__(self) -> "Watching":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(STOP_SECONDS)

    def _watch(self) -> None:
        catalog: Catalog | None = None
        lookout: Lookout | None = None
        blind = False
        while not self._done.is_set():
            try:
                if catalog is None or lookout is None:
                    catalog = self._open()
                    lookout = Lookout(catalog, self._say, self._clock, url=self._url)
                lookout.look()
            except (SQLAlchemyError, ConnectorError) as error:
                if not blind:
                    self._say(f"ALARM the watch cannot read the catalog: {error}")
                blind = True
            else:
                if blind:
                    self._say("over: the watch reads the catalog again")
                blind = False
            self._done.wait(self._every_seconds)
        if catalog is not None:
            _end(catalog, lookout)


def _end(catalog: Catalog, lookout: Lookout | None) -> None:
    with suppress(SQLAlchemyError):  # old word is no word either
        if lookout is not None:
            lookout.leave()
    catalog.close()


def watching(settings: Settings, database_url: str, say: Say, *, url: str) -> Watching:
    """Watch the catalog of an installation, and say what is wrong, until the block ends.

    Meanwhile the catalog says that the installation's webserver is at ``url``.
    """
    return Watching(lambda: open_catalog(database_url, secret_box(settings)), say, url=url)
