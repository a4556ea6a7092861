"""Times as people write and read them: on the clocks of a schedule's zone."""

from datetime import UTC, datetime
from typing import Annotated, TypeAlias

import typer

from sync_pipelines.clock import system_clock
from sync_pipelines.model.cadence import Missing
from sync_pipelines.timing.zones import find_zone, instant_of

NOW = "now"


def instant(written: str, zone: str) -> datetime:
    """The instant of a written time; without an offset, what the zone's clocks show.

    One that those clocks leave out is right after the gap; of two, it is the first.
    """
    if written == NOW:
        return system_clock()
    found = datetime.fromisoformat(written)
    if found.tzinfo is not None:
        return found.astimezone(UTC)
    wall = found.replace(tzinfo=find_zone(zone))
    at = instant_of(wall, second=False, missing=Missing.AFTER_GAP)
    assert at is not None
    return at


def shown_local(at: datetime | None, zone: str) -> str:
    """An instant on a zone's clocks, with the zone's own name for its offset."""
    return "" if at is None else f"{at.astimezone(find_zone(zone)):%Y-%m-%d %H:%M %Z}"


def shown_soon(at: datetime | None, zone: str) -> str:
    """The same in short: the year is told only where it is another."""
    if at is None:
        return ""
    local = at.astimezone(find_zone(zone))
    year = "" if local.year == system_clock().year else "%Y "
    return f"{local:%d %b {year}%H:%M %Z}"


def _checked(written: str | None) -> str | None:
    if written is None or written == NOW:
        return written
    try:
        datetime.fromisoformat(written)
    except ValueError as error:
        raise typer.BadParameter(
            f"{written!r} is not a time; write it as 2026-03-08T02:00 (on the schedule's "
            "clocks), 2026-03-08T09:00Z, or now"
        ) from error
    return written


At: TypeAlias = Annotated[
    str, typer.Option("--at", metavar="TIME", callback=_checked, show_default=False)
]
From: TypeAlias = Annotated[
    str,
    typer.Option("--from", metavar="TIME", callback=_checked, help="Where to begin."),
]
Until: TypeAlias = Annotated[
    str | None,
    typer.Option("--until", metavar="TIME", callback=_checked, help="When it goes on by itself."),
]
