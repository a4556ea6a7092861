"""Quiet hours: until when somebody is not to be disturbed. Pure."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from sync_pipelines.model.notification import QuietHours
from sync_pipelines.model.wall import Missing
from sync_pipelines.timing.zones import find_zone, instant_of


def undisturbed(at: datetime, hours: Iterable[QuietHours | None]) -> datetime:
    """``at``; or when the last of those quiet hours ends that are on then."""
    return max((end for quiet in hours if quiet and (end := quiet_until(quiet, at))), default=at)


def quiet_until(quiet: QuietHours, now: datetime) -> datetime | None:
    """When the quiet that is on ends; None when none is on.

    An end that the clocks leave out is the instant right after the gap; of one that
    they show twice, the first is meant, unless that is over.
    """
    zone = find_zone(quiet.timezone)
    wall = now.astimezone(zone)
    at = wall.time().replace(fold=0)
    if quiet.start < quiet.end:
        is_on, later = quiet.start <= at < quiet.end, False
    else:
        is_on, later = at >= quiet.start or at < quiet.end, at >= quiet.start
    if not is_on:
        return None
    day = wall.date() + timedelta(days=1) if later else wall.date()
    end = datetime.combine(day, quiet.end, zone)
    found = instant_of(end, second=False, missing=Missing.AFTER_GAP)
    if found is not None and found <= now:
        found = instant_of(end, second=True, missing=Missing.AFTER_GAP)
    return found
