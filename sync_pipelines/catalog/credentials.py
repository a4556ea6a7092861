"""Secrets that let somebody in: making them, and knowing them again by what is kept.

Chance comes from the system here, and is not handed in: it must not be foreseen.
"""

import secrets
from functools import cache
from hashlib import sha256
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from connectors.errors import ConfigError

SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 1000

_AT_ONCE = BoundedSemaphore(2)
"""Each takes 64 MB and a processor for some 50 ms: many at once must not starve the rest."""


def new_secret() -> str:
    """256 bits, in characters that need no quoting anywhere."""
    return secrets.token_urlsafe(32)


def new_prefix() -> str:
    """A short public name for a secret."""
    return secrets.token_hex(5)


def hash_of(secret: str) -> str:
    """What is kept of a secret of 256 bits. Such a one is not guessed, and needs no salt."""
    return sha256(secret.encode()).hexdigest()


def is_same(one: str, other: str) -> bool:
    """Whether two are equal, in a time that does not tell how far they are."""
    return secrets.compare_digest(one.encode(), other.encode())


def hash_password(password: str) -> str:
    """What is kept of a password: argon2id. `ConfigError` when it is too short or too long."""
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise ConfigError(
            f"a password has from {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters; "
            "several words are easy to remember and hard to guess"
        )
    with _AT_ONCE:
        return _hasher().hash(password)


def is_password(password: str, kept: str | None) -> bool:
    """Whether it is the password. Nothing kept takes as long: nobody learns who exists."""
    if len(password) > LONGEST_PASSWORD:
        return False
    with _AT_ONCE:
        try:
            _hasher().verify(kept or _nobodys(), password)
        except (VerifyMismatchError, InvalidHashError):
            return False
    return kept is not None


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()


@cache
def _nobodys() -> str:
    return _hasher().hash(new_secret())
