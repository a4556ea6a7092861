"""ETags: a change is made only to what its sender has seen (RFC 9110, 13.1.1).

An ETag stands for what was configured. What a schedule comes to by itself, such as its
next run, does not change it.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated, Any, TypeAlias, TypeVar

from fastapi import Header, Response
from pydantic import BaseModel

from sync_pipelines.gateway.problems import ProblemError

IfMatch: TypeAlias = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=1000,
        description="The `ETag` that was seen: 412 if somebody has changed it since.",
    ),
]


Told = TypeVar("Told", bound=BaseModel)


def answered(told: Told, response: Response, *, version: str) -> Told:
    """An answer about one thing, with its version as ``ETag``."""
    response.headers["ETag"] = version
    return told


def etag(described: Mapping[str, Any], updated_at: datetime | None) -> str:
    """The version of what was configured, in quotes; ``updated_at`` where it is known."""
    at = None if updated_at is None else updated_at.isoformat()
    whole = json.dumps([described, at], sort_keys=True, default=str)
    return f'"{sha256(whole.encode()).hexdigest()[:32]}"'


def check_match(if_match: str | None, now: str) -> None:
    """End the request with 412 unless ``now`` is among what was seen."""
    if if_match is None or if_match.strip() == "*":
        return
    if now not in (one.strip() for one in if_match.split(",")):
        detail = "somebody has changed it since you looked; look again, and then change that"
        raise ProblemError(HTTPStatus.PRECONDITION_FAILED, detail, headers={"ETag": now})
