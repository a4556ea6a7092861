"""Looks after executions that have ended: at once, or while something else goes on.

Law: what went wrong with one look is logged, and the next look comes all the same.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from threading import Event, Thread

import structlog

from sync_pipelines.catalog.store import Catalog
from sync_pipelines.clock import Clock
from sync_pipelines.engine.aftermath import follow_up_left_behind
from sync_pipelines.engine.auditing import audit_ended

LOOK_SECONDS = 1.0
"""How often what has ended is looked for."""

log = structlog.get_logger()


def look_after_ended(catalog: Catalog, now: datetime) -> None:
    """Follow up those whose process died before it could; write all ends into the audit."""
    follow_up_left_behind(catalog, now)
    audit_ended(catalog, now)


@contextmanager
def following_up(
    catalog: Catalog, clock: Clock, *, every_seconds: float = LOOK_SECONDS
) -> Iterator[None]:
    """Look after what has ended until the block ends.

    Dagster's daemon does so too; but what is to be done soon must not wait until that is up.
    """
    stopping = Event()

    def follow() -> None:
        trouble: str | None = None
        with ThreadPoolExecutor(1, thread_name_prefix="look") as pool:
            while not stopping.wait(every_seconds):
                error = pool.submit(look_after_ended, catalog, clock()).exception()
                found = None if error is None else repr(error)
                if found is not None and found != trouble:  # said once, not with each look
                    log.warning("following_up.interrupted", error=found)
                elif found is None and trouble is not None:
                    log.info("following_up.resumed")
                trouble = found

    thread = Thread(target=follow, name="following up", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
