"""When cadences fire, as people read it off a clock."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from sync_pipelines.model.cadence import Cadence, ClockChange, Cron
from sync_pipelines.timing.instants import instants
from sync_pipelines.timing.zones import find_zone

ANCHOR = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def local_firings(
    cadence: Cadence | str, zone: str, after: str, *, count: int, **rules: Any
) -> list[str]:
    """The next firings as the zone's clocks show them; ``after`` is such a reading too."""
    if isinstance(cadence, str):
        cadence = Cron(expression=cadence)
    start = datetime.fromisoformat(after).replace(tzinfo=find_zone(zone))
    found = instants(
        cadence,
        zone,
        ClockChange(**rules),
        after=start,
        until=start + timedelta(days=4000),
        anchor=ANCHOR,
    )
    readings = (at.astimezone(find_zone(zone)) for at in islice(found, count))
    return [f"{reading:%m-%d %H:%M %z}" for reading in readings]
