"""The pool of connections to Dagster's tables.

One that may have been lost is looked at before it is lent; none is shared by forks.
"""

import os
from time import monotonic

import psycopg2  # type: ignore[import-untyped]
from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError, InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

IDLE_SECONDS = 1.0
"""A connection that was not used for so long may have been lost."""


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
    event.listen(engine, "checkin", _remember_use)
    event.listen(engine, "checkout", _refuse_anothers_connection)
    event.listen(engine, "checkout", _refuse_one_lost_while_idle)
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


def _remember_use(_: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
    record.info["used_at"] = monotonic()


def _refuse_one_lost_while_idle(
    connection: DBAPIConnection, record: ConnectionPoolEntry, proxy: PoolProxiedConnection
) -> None:
    """Ask one that was idle for a while whether it is alive, before it is needed.

    Asking each time was as many statements again as a run sends.
    """
    if monotonic() - record.info.get("used_at", monotonic()) >= IDLE_SECONDS:
        refuse_a_dead_connection(connection, record, proxy)


def refuse_a_dead_connection(
    connection: DBAPIConnection, _: ConnectionPoolEntry, __: PoolProxiedConnection
) -> None:
    """Ask a connection whether it is alive, before it is lent."""
    try:
        cursor = connection.cursor()
        cursor.execute("SELECT 1")
        cursor.close()
    except psycopg2.Error as error:
        raise InvalidatePoolError("the connection was lost, and so may the others be") from error
