"""The page to which the link at the end of every mail leads.

Law: looking at it changes nothing, for mail programs look at links; only its button does,
or a mail program's own (RFC 8058). The link's token is all that it takes.
"""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response

from sync_pipelines.gateway.doors import ItsDoors
from sync_pipelines.gateway.pages import page
from sync_pipelines.notify.unsubscribing import named_by, unsubscribe

router = APIRouter(include_in_schema=False)

Token = Annotated[str, Query(max_length=2000)]


@router.get("/unsubscribe")
def ask(doors: ItsDoors, token: Token) -> Response:
    """Whether it is really enough."""
    _, address = named_by(doors.catalog.secrets, token)
    return page(
        "unsubscribe.html",
        title="No more mail?",
        address=address,
        action=f"/unsubscribe?{urlencode({'token': token})}",
    )


@router.post("/unsubscribe")
def done(doors: ItsDoors, token: Token) -> Response:
    """Send no more of it."""
    address = unsubscribe(doors.catalog, token, now=doors.clock())
    return page(
        "message.html",
        title="No more mail",
        text=f"{address} gets no more mail of this kind. An admin of the tenant can undo it.",
    )
