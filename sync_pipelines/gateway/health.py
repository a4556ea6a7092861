"""Is it alive? Asked by whoever restarts it."""

from fastapi import APIRouter
from pydantic import BaseModel

router = APIRouter(prefix="/health", tags=["health"])


class Alive(BaseModel):
    """The process answers."""

    status: str = "alive"


@router.get("/live")
async def live() -> Alive:
    """Whether this process answers. Asks nobody else: a restart would not help them."""
    return Alive()
