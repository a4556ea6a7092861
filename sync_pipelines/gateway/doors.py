"""What the gateway is handed from outside, and how a handler gets at it."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Annotated, TypeAlias, cast
from uuid import UUID

from fastapi import Depends, Request

from sync_pipelines.catalog.store import Catalog
from sync_pipelines.clock import Clock
from sync_pipelines.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """Everything from outside.

    ``catalog`` is the plain one, without a tenant. ``launch`` gives a pending execution
    to Dagster at once if it can, and says whether it could; what it could not, a sensor
    does within seconds. ``dagster_url`` is where Dagster's pages are, None if nobody knows.
    """

    catalog: Catalog
    settings: Settings
    clock: Clock
    rng: Random
    launch: Callable[[UUID], bool]
    dagster_url: Callable[[], str | None]


async def doors_of(request: Request) -> Doors:  # one that is not would be sent to a thread
    """The doors of the application that serves a request."""
    return cast(Doors, request.app.state.doors)


ItsDoors: TypeAlias = Annotated[Doors, Depends(doors_of)]
"""A handler's argument of this type is the application's `Doors`."""
