"""Errors of starting and stopping.

::

    StartError             something the product stands on could not be started
    ├── PostgresError      the embedded PostgreSQL
    └── HomeInUseError     another `up` works in the same home

A message names what is in the way and what to do about it.
"""


class StartError(Exception):
    """Something the product stands on could not be started."""


class PostgresError(StartError):
    """The embedded PostgreSQL could not be set up, started or stopped."""


class HomeInUseError(StartError):
    """Another `up` already works in this home."""
