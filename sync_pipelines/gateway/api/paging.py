"""Cursors: where a list goes on, as an opaque text.

Law: a cursor is good for the order of the list it came from, and tells nothing that the
list has not shown.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64Error
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, TypeAlias
from uuid import UUID

from fastapi import Query

from sync_pipelines.catalog.paging import Key
from sync_pipelines.gateway.problems import FieldError, ProblemError

Limit: TypeAlias = Annotated[int, Query(ge=1, le=200, description="So many at most.")]
Cursor: TypeAlias = Annotated[
    str | None, Query(max_length=1000, description="The `next` of the page before.")
]


def key_of(cursor: str | None, sort: str) -> Key | None:
    """Where a list goes on; ends the request with 422 if the cursor is not one of it."""
    if cursor is None:
        return None
    try:
        said = json.loads(urlsafe_b64decode(cursor.encode("ascii")))
        order, written, identity = said
        if order != sort or not isinstance(written, str):
            raise ValueError("it belongs to another order")
        place: str | datetime = written if sort.endswith("name") else _instant(written)
        return place, UUID(identity)
    except (ValueError, TypeError, AttributeError, RecursionError, NotBase64Error) as error:
        message = "cursor is not the `next` of this list in this order; begin without one"
        wrong = FieldError(field="query.cursor", message=message)
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, message, errors=[wrong]) from error


def cursor_of(key: Key | None, sort: str) -> str | None:
    """The inverse of `key_of`."""
    if key is None:
        return None
    place, identity = key
    written = place if isinstance(place, str) else place.isoformat()
    return urlsafe_b64encode(json.dumps([sort, written, str(identity)]).encode()).decode()


def _instant(written: str) -> datetime:
    at = datetime.fromisoformat(written)
    if at.tzinfo is None:
        raise ValueError("it has no zone")
    return at
