"""Where Dagster's webserver is, so that a command can ask it for a run.

`up` leaves word in the catalog at every look of its watch, and takes it back when it
ends. Word that is old is no word: whatever answers there by now may be another's.
"""

from datetime import datetime, timedelta

from sqlalchemy import Connection as Db

from sync_pipelines.catalog import heartbeats
from sync_pipelines.engine.watch import EVERY_SECONDS
from sync_pipelines.settings import Settings

WEBSERVER = "webserver"

PATH = "/dagster"
"""Where the webserver has its pages; the gateway serves them at the same path."""

STALE_AFTER = timedelta(minutes=2)
"""A webserver of which nothing was heard for so long is not asked."""


def note_webserver(db: Db, url: str | None, now: datetime) -> None:
    """Leave word of the webserver of this catalog's Dagster, or with None take it back."""
    detail = {} if url is None else {"url": url}
    heartbeats.beat(db, WEBSERVER, every_seconds=EVERY_SECONDS, now=now, detail=detail)


def find_webserver(db: Db, settings: Settings, now: datetime) -> str | None:
    """The URL of the catalog's Dagster: that of the settings, else where `up` serves it."""
    if settings.dagster_url is not None:
        return str(settings.dagster_url).rstrip("/")
    word = heartbeats.read(db, WEBSERVER)
    if word is None or now - word.at > STALE_AFTER:
        return None
    url = word.detail.get("url")
    return None if url is None else str(url)
