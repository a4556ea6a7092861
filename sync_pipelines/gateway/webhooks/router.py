"""``/webhooks/{key}``: the door that providers knock at."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from fastapi import APIRouter, FastAPI, Request, Response

from connectors.webhooks.contract import Received
from sync_pipelines.gateway.doors import Doors
from sync_pipelines.gateway.webhooks.intake import Intake


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    intake = Intake(cast(Doors, app.state.doors))
    app.state.webhook_intake = intake
    async with intake.running():
        yield


router = APIRouter(lifespan=_lifespan)


# Not part of the API's description: each provider describes what it sends.
@router.api_route("/webhooks/{key}", methods=["POST", "GET", "OPTIONS"], include_in_schema=False)
async def take(key: str, request: Request) -> Response:
    """Take in what a provider sends, or answer its handshake."""
    intake = cast(Intake, request.app.state.webhook_intake)
    doors = cast(Doors, request.app.state.doors)
    received = Received(
        at=doors.clock(),
        method=request.method,
        body=await request.body(),
        headers=dict(request.headers),
        query=dict(request.query_params),
    )
    answer = await intake.take(key, received)
    return Response(
        answer.body,
        status_code=answer.status.value,
        headers=dict(answer.headers),
        media_type="text/plain",
    )
