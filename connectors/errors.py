"""Errors, named by what the caller should do next.

::

    ConnectorError
    ├── ConfigError            the tenant must act; never retried
    │   ├── AuthError          credentials are wrong, expired or not allowed to
    │   ├── EmptySourceError   the source is empty and would empty the destination
    │   └── TooManyDeletesError  so many records are gone that somebody must confirm it
    ├── TransientError         try again later; may carry ``retry_after``
    │   └── RateLimitedError   the provider asked us to slow down
    ├── DataError              one record is unusable: reject it, count it, go on
    └── ContractError          our own bug: a connector broke the contract

A message speaks to the tenant: it names the wrong value and what would be right,
and never contains a secret or a record's content.
"""

from datetime import timedelta


class ConnectorError(Exception):
    """Root of every error a connector raises on purpose."""


class ConfigError(ConnectorError):
    """Something only the tenant can put right: a name, a privilege, an option."""


class AuthError(ConfigError):
    """The system refused our credentials."""


class EmptySourceError(ConfigError):
    """A full read came back empty, and writing it would empty a filled destination."""


class TooManyDeletesError(ConfigError):
    """More of a dataset would be deleted at once than is likely to be meant."""


class TransientError(ConnectorError):
    """The same call may well succeed later.

    ``retry_after`` is the least wait that the other side asked for, if it did.
    """

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RateLimitedError(TransientError):
    """The provider's limit is reached."""


class DataError(ConnectorError):
    """One record cannot be used; the others can."""


class ContractError(ConnectorError):
    """A connector did what the contract forbids. Report it: it is our bug."""
