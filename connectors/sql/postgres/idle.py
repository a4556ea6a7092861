"""Connections that nobody uses for a moment, kept for whoever opens the very same again.

Laws:

* A connection is kept under its whole configuration, password included, and the server
  has forgotten all that its last user did: transactions, settings, temporary tables,
  prepared statements, locks.
* It never leaves its process: what a fork has inherited is neither used nor closed.
* Few are kept, and not for long.
"""

import atexit
import os
from dataclasses import dataclass, field
from threading import Lock, Timer
from time import monotonic

import psycopg
from psycopg import Connection
from psycopg.pq import TransactionStatus

from connectors.sql.config import DatabaseConfig

KEPT_SECONDS = 20.0
"""How long a connection waits for its next user."""

MOST_KEPT = 8
"""In one process; beyond it, who has waited longest is closed."""


@dataclass(slots=True)
class _Kept:
    config: DatabaseConfig
    connection: Connection
    since: float


@dataclass(slots=True)
class IdleConnections:
    """Those of one process, longest waiting first."""

    process: int = field(default_factory=os.getpid)
    _kept: list[_Kept] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)
    _timer: Timer | None = None

    def take(self, config: DatabaseConfig) -> Connection | None:
        """One of this configuration, if any waits; it may have been lost meanwhile."""
        with self._lock:
            for at in reversed(range(len(self._kept))):
                if self._kept[at].config == config:
                    return self._kept.pop(at).connection
        return None

    def keep(self, config: DatabaseConfig, connection: Connection) -> None:
        """Let the connection wait, forgotten by the server; one that cannot be is closed."""
        if not _forgotten(connection):
            connection.close()
            return
        with self._lock:
            self._kept.append(_Kept(config, connection, monotonic()))
            surplus = self._kept[:-MOST_KEPT]
            del self._kept[:-MOST_KEPT]
            self._watch()
        for one in surplus:
            one.connection.close()

    def _watch(self) -> None:
        """See to it that whoever waits longest is closed in time."""
        if self._timer is not None or not self._kept:
            return
        wait = self._kept[0].since + KEPT_SECONDS - monotonic()
        self._timer = Timer(max(wait, 0.0), self._expire)
        self._timer.daemon = True
        self._timer.start()

    def _expire(self) -> None:
        with self._lock:
            self._timer = None
            before = monotonic() - KEPT_SECONDS
            expired = [one for one in self._kept if one.since <= before]
            self._kept = [one for one in self._kept if one.since > before]
            self._watch()
        for one in expired:
            one.connection.close()

    def clear(self) -> None:
        """Close all that wait."""
        with self._lock:
            kept, self._kept = self._kept, []
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        for one in kept:
            one.connection.close()


_processes: list[IdleConnections] = []
"""This process's own is the last; what it was forked with stays untouched before it."""


def connections() -> IdleConnections:
    """Those of this process."""
    if not _processes or _processes[-1].process != os.getpid():
        mine = IdleConnections()
        _processes.append(mine)
        atexit.register(_clear, mine)
    return _processes[-1]


def _clear(idle: IdleConnections) -> None:
    """At exit; a forked child runs its parent's word for this, too."""
    if idle.process == os.getpid():
        idle.clear()


def _forgotten(connection: Connection) -> bool:
    """Whether the server has thrown away all that belongs to the session."""
    if connection.closed or connection.info.transaction_status is not TransactionStatus.IDLE:
        return False
    try:
        connection.execute("DISCARD ALL")
    except psycopg.Error:
        return False
    return True
