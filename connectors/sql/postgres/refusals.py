"""What the server answers with an error, told as one of ours.

Law: what is told has neither a password nor a record's content.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from connectors.errors import AuthError, ConfigError, ConnectorError, TransientError

_TRANSIENT = ("08", "25", "40", "53", "55", "57", "58", "XX")


@contextmanager
def translated(action: str) -> Iterator[None]:
    """Turn psycopg's errors into ours, by SQLSTATE; ``action`` says what was tried."""
    try:
        yield
    except psycopg.Error as error:
        state = error.sqlstate
        raise _told(action, state, error.diag.message_primary or str(error)) from error


@contextmanager
def adbc_translated(action: str) -> Iterator[None]:
    """Turn ADBC's errors into ours, by SQLSTATE; ``action`` says what was tried."""
    import adbc_driver_manager as adbc

    try:
        yield
    except adbc.Error as error:
        raise _told(action, error.sqlstate, _primary(str(error))) from error


def _primary(text: str) -> str:
    """The server's own sentence inside ADBC's message, without the query."""
    return text.partition("ERROR:")[2].strip().partition("\n")[0] or text.partition("\n")[0]


def _told(action: str, state: str | None, message: str) -> ConnectorError:
    if state is None or state.startswith(_TRANSIENT):
        return TransientError(f"PostgreSQL failed while {action}: {message}")
    if state.startswith("28") or state == "42501":
        return AuthError(f"PostgreSQL refused {action}: {message}; grant the privilege")
    if state.startswith("22") or state == "23514":
        # The sentence of these quotes the value.
        message = "a value does not fit its type or constraint"
    return ConfigError(f"PostgreSQL refused {action} ({state}): {message}")
