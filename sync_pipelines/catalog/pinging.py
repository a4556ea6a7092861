"""Connections of a pool are asked whether they are alive where they may not be any more.

Asking before each transaction was as many statements again as many transactions have.
"""

from time import monotonic

from sqlalchemy import Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

IDLE_SECONDS = 1.0
"""A connection that was not used for so long may have been lost."""


def ping_after_idleness(engine: Engine) -> None:
    """Ask a connection before it is lent, if it was idle for a while; see `ping_always`."""

    def remember_use(_: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
        record.info["used_at"] = monotonic()

    def ask(
        connection: DBAPIConnection, record: ConnectionPoolEntry, _: PoolProxiedConnection
    ) -> None:
        if monotonic() - record.info.get("used_at", monotonic()) >= IDLE_SECONDS:
            _ask(engine, connection)

    event.listen(engine, "checkin", remember_use)
    event.listen(engine, "checkout", ask)


def ping_always(engine: Engine) -> None:
    """Ask each connection before it is lent; where one is dead, all others are opened anew."""

    def ask(connection: DBAPIConnection, _: ConnectionPoolEntry, __: PoolProxiedConnection) -> None:
        _ask(engine, connection)

    event.listen(engine, "checkout", ask)


def _ask(engine: Engine, connection: DBAPIConnection) -> None:
    driver = engine.dialect.loaded_dbapi
    try:
        engine.dialect.do_ping(connection)
    except driver.Error as error:
        raise InvalidatePoolError("the connection was lost, and so may the others be") from error
