"""``serve``: the gateway alone, for as long as it is wanted."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from random import Random
from typing import Annotated
from uuid import UUID

import typer
import uvicorn

from sync_pipelines import tracing
from sync_pipelines.catalog.isolation import check_role
from sync_pipelines.cli.doors import read_settings
from sync_pipelines.cli.output import tell
from sync_pipelines.clock import system_clock
from sync_pipelines.engine.following import following_up
from sync_pipelines.gateway.app import create_app
from sync_pipelines.gateway.doors import Doors
from sync_pipelines.gateway.server import Server
from sync_pipelines.logs import configure_library_logs, configure_logging
from sync_pipelines.notify.delivery import Deliverer
from sync_pipelines.notify.senders import senders_of
from sync_pipelines.runtime.errors import StartError
from sync_pipelines.runtime.launching import HandedOver, hand_over
from sync_pipelines.runtime.session import Session, open_session
from sync_pipelines.runtime.webserver import find_webserver

GRACE_SECONDS = 6
"""How long requests have to end when the gateway is told to: less than `up` waits for it."""

BACKLOG = 2048

Host = Annotated[str | None, typer.Option("--host", help="Address. [default: 127.0.0.1]")]
Port = Annotated[
    int | None, typer.Option("--port", min=0, max=65535, help="Port, 0 for any. [default: 8000]")
]


def serve(host: Host = None, port: Port = None) -> None:
    """Serve the API, webhooks and pages until Ctrl-C; several may run side by side."""
    settings = read_settings()
    configure_logging(settings.log_format)
    configure_library_logs(settings.log_format)
    tracing.configure_tracing(settings.otel_endpoint, process="gateway")
    where = _listening(
        host or settings.gateway_host, settings.gateway_port if port is None else port
    )
    with where, open_session(settings) as opened:
        with opened.catalog.begin() as db:
            check_role(db)
        app = create_app(doors_of(opened))
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,  # the gateway writes its own
            server_header=False,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=settings.trusted_proxies,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        tell(f"the gateway is on {_url(where)}")
        # uvicorn has ended in order when Ctrl-C is passed on.
        with (
            suppress(KeyboardInterrupt),
            delivering(opened, _url(where)),
            following_up(opened.catalog, system_clock),
        ):
            Server(app, config).run(sockets=[where])
        tracing.stop_tracing()


@contextmanager
def delivering(opened: Session, url: str) -> Iterator[None]:
    """Notifications are delivered meanwhile; by each gateway, if there are several."""
    with senders_of(opened.settings, clock=system_clock, base_url=url) as senders:
        deliverer = Deliverer(opened.catalog, senders, clock=system_clock, rng=Random())
        deliverer.start()
        try:
            yield
        finally:
            deliverer.stop()


def doors_of(opened: Session) -> Doors:
    """What the gateway needs of an open session."""
    catalog, settings = opened.catalog, opened.settings

    def dagster_url() -> str | None:
        with catalog.begin() as db:
            return find_webserver(db, settings, system_clock())

    def launch(execution_id: UUID) -> bool:
        handed = hand_over(catalog, execution_id, url=dagster_url(), clock=system_clock)
        return handed is HandedOver.AT_ONCE

    return Doors(
        catalog=catalog,
        settings=settings,
        clock=system_clock,
        rng=Random(),
        launch=launch,
        dagster_url=dagster_url,
    )


def _listening(host: str, port: int) -> socket.socket:
    """A listening socket, taken before anything is started; `StartError` if it cannot be."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        raise StartError(
            f"the gateway cannot listen on {host}:{port} ({error.strerror}); choose another "
            "with --host and --port, or SYNC_GATEWAY_HOST and SYNC_GATEWAY_PORT"
        ) from error


def _url(where: socket.socket) -> str:
    host, port = where.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
