"""``/api/v2/alert-thresholds``: where a tenant's alerts begin and end."""

from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, RootModel
from pydantic.config import JsonDict
from sqlalchemy import Connection as Db

from sync_pipelines.apply.body import Body, body_of, parsed_alerts
from sync_pipelines.apply.current import Current
from sync_pipelines.apply.parse import Parsed
from sync_pipelines.catalog.tenants import thresholds_of
from sync_pipelines.gateway.api.changing import plan_and_act
from sync_pipelines.gateway.api.shapes import Json
from sync_pipelines.gateway.api.versions import IfMatch, answered, check_match, etag
from sync_pipelines.gateway.doors import ItsDoors
from sync_pipelines.gateway.identity import Admin, Viewer
from sync_pipelines.notify.thresholds import (
    USUAL,
    Measure,
    thresholds_from_json,
    thresholds_to_json,
)

router = APIRouter(prefix="/api/v2/alert-thresholds", tags=["alert-thresholds"])

STRICT: JsonDict = {"failure_rate": {"opens": 0.1, "closes": 0.05}, "queue_depth": False}


class ThresholdsPut(RootModel[Json]):
    """By measure `{opens, closes}`, or false for no alert; what is left out is as usual."""

    model_config = ConfigDict(json_schema_extra={"examples": [STRICT]})


class ThresholdTold(BaseModel):
    """An alert begins at ``opens`` and ends below ``closes``; ``is_own``: not as usual."""

    measure: Measure
    is_on: bool
    opens: float | None
    closes: float | None
    is_own: bool


class ThresholdsTold(BaseModel):
    """Every measure."""

    items: list[ThresholdTold]


@router.get("")
def get(caller: Viewer, response: Response) -> ThresholdsTold:
    """Where the tenant's alerts begin and end."""
    with caller.catalog.begin() as db:
        held = dict(thresholds_of(db, caller.tenant.id))
    return answered(_told(held), response, version=etag(held, None))


@router.put("")
def put(
    wanted: ThresholdsPut,
    caller: Admin,
    response: Response,
    doors: ItsDoors,
    if_match: IfMatch = None,
) -> ThresholdsTold:
    """Say where they begin and end, as a whole."""

    def want(_: Db, current: Current) -> tuple[Body, Parsed]:
        check_match(if_match, etag(dict(current.thresholds), None))
        body = body_of(wanted.root)
        return body, parsed_alerts(body, caller.tenant.name)

    plan_and_act(caller, doors, want)
    return get(caller, response)


def _told(held: dict[str, Any]) -> ThresholdsTold:
    own = thresholds_from_json(held)
    shown = thresholds_to_json({**USUAL, **own})
    return ThresholdsTold(
        items=[
            ThresholdTold(
                measure=Measure(name),
                is_on=one is not None,
                opens=one["opens"] if one else None,
                closes=one["closes"] if one else None,
                is_own=Measure(name) in own,
            )
            for name, one in shown.items()
        ]
    )
