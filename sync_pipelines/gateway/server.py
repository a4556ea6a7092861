"""The server under the gateway: told to stop, it ends at once what would last for minutes."""

import socket

import uvicorn
from starlette.applications import Starlette

from sync_pipelines.gateway.progress import end_streams


class Server(uvicorn.Server):
    """Uvicorn's, which waits for open requests; event streams are no such."""

    def __init__(self, app: Starlette, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, end streams, wait for what else is open."""
        end_streams(self._app)
        await super().shutdown(sockets)
