"""Instants as callers write them: with a zone, and within the years that calendars reach."""

from datetime import datetime
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, AwareDatetime

FIRST_YEAR, LAST_YEAR = 1970, 2200


def _reachable(at: datetime) -> datetime:
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise ValueError(f"the year {at.year} is not {FIRST_YEAR} to {LAST_YEAR}")
    return at


Instant: TypeAlias = Annotated[AwareDatetime, AfterValidator(_reachable)]
"""An instant of a request."""
