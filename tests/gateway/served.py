"""A gateway that really listens, for what a test client cannot do: streams and sockets."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import uvicorn
from starlette.applications import Starlette

from sync_pipelines.gateway.server import Server
from sync_pipelines.runtime.waiting import wait_until


@contextmanager
def served(app: Starlette, *, grace_seconds: int = 1) -> Iterator[str]:
    """Serve an application on this machine; where."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=grace_seconds,
    )
    server = Server(app, config)
    with socket.create_server(("127.0.0.1", 0)) as where:
        thread = Thread(target=server.run, kwargs={"sockets": [where]}, daemon=True)
        thread.start()
        assert wait_until(lambda: server.started, seconds=20)
        try:
            yield f"http://127.0.0.1:{where.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)
