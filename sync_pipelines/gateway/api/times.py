"""Instants as callers write them: with a zone, and within the years that calendars reach."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, AwareDatetime

from sync_pipelines.gateway.problems import FieldError, ProblemError

FIRST_YEAR, LAST_YEAR = 1970, 2200


def _reachable(at: datetime) -> datetime:
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise ValueError(f"the year {at.year} is not {FIRST_YEAR} to {LAST_YEAR}")
    return at


Instant: TypeAlias = Annotated[AwareDatetime, AfterValidator(_reachable)]
"""An instant of a request."""


def to_come(until: datetime, now: datetime) -> datetime:
    """An instant of a body's ``until``; ends the request with 422 if it has passed."""
    if until <= now:
        message = f"until {until.isoformat()} has passed; name a time to come"
        wrong = FieldError(field="body.until", message=message)
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, message, errors=[wrong])
    return until
