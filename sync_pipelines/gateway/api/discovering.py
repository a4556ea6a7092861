"""Of ``/api/v2/connections``: whether one works, and what there is at its other end."""

from contextlib import closing
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel

from connectors import registry
from connectors.contract import Stream
from connectors.cursors import cursor_candidates
from connectors.described import storage_of
from sync_pipelines.engine.surroundings import open_destination, open_source
from sync_pipelines.gateway.api.connections import opened_connection
from sync_pipelines.gateway.identity import Caller, Operator

router = APIRouter(prefix="/api/v2/connections", tags=["connections"])


class CheckTold(BaseModel):
    """What answered in each role that the connector can play; null where it plays none."""

    ok: bool
    source: str | None = None
    destination: str | None = None


class ColumnTold(BaseModel):
    """A column of a stream; its type as Arrow spells it."""

    name: str
    type: str
    nullable: bool


class StreamTold(BaseModel):
    """A stream that can be read."""

    name: str
    primary_key: list[str]
    cursor_field: str | None
    cursor_candidates: list[str]
    modes: list[str]
    columns: list[ColumnTold]
    note: str


class Streams(BaseModel):
    """What there is to be read."""

    items: list[StreamTold]


@router.post("/{connection_id}/check")
def check(connection_id: UUID, caller: Operator) -> CheckTold:
    """Connect in every role the connector can play, and say to what; each time anew."""
    found = opened_connection(caller, connection_id)
    connector, said = registry.get(found.connector), CheckTold(ok=True)
    if connector.source is not None:
        with closing(open_source(caller.catalog, found)) as source:
            said.source = source.check()
    if connector.destination is not None:
        with closing(open_destination(caller.catalog, found)) as destination:
            said.destination = destination.check()
    return said


@router.get("/{connection_id}/discover")
def discover(connection_id: UUID, caller: Operator) -> Streams:
    """The streams that can be read: keys, cursor candidates, columns, and what to know."""
    return Streams(items=[_stream(one) for one in discovered(caller, connection_id)])


def discovered(caller: Caller, connection_id: UUID) -> list[Stream]:
    """What a connection's source offers now."""
    found = opened_connection(caller, connection_id)
    with closing(open_source(caller.catalog, found)) as source:
        return list(source.discover())


def _stream(stream: Stream) -> StreamTold:
    return StreamTold(
        name=stream.name,
        primary_key=list(stream.primary_key),
        cursor_field=stream.cursor_field,
        cursor_candidates=list(cursor_candidates(stream)),
        modes=sorted(stream.modes),
        columns=[
            ColumnTold(name=field.name, type=storage_of(field), nullable=field.nullable)
            for field in stream.schema
        ],
        note=stream.note,
    )
