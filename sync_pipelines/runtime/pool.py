"""The pool of connections to Dagster's tables; none is shared by forks."""

import os

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from sync_pipelines.catalog.pinging import ping_after_idleness


def pooled_engine(url: URL) -> Engine:
    """An engine for one process's storages together; every statement is its own transaction."""
    engine = create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        pool_size=4,
        max_overflow=32,
        pool_recycle=300,
        pool_use_lifo=True,
        connect_args={"application_name": "dagster"},
    )
    event.listen(engine, "connect", _remember_process)
    event.listen(engine, "checkout", _refuse_anothers_connection)
    ping_after_idleness(engine)
    return engine


def _remember_process(_: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    record.info["pid"] = os.getpid()


def _refuse_anothers_connection(
    _: DBAPIConnection, record: ConnectionPoolEntry, proxy: PoolProxiedConnection
) -> None:
    """A forked child must not speak on its parent's connections, nor close them."""
    if record.info["pid"] != os.getpid():
        record.dbapi_connection = proxy.dbapi_connection = None  # type: ignore[misc]
        raise DisconnectionError("the connection belongs to the process this one was forked from")
