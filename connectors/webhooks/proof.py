"""Comparing what was sent with what only the holder of a secret can make.

Every candidate is compared with every signature, in constant time (`hmac.compare_digest`),
and no comparison is left out once one has matched.
"""

import binascii
import hashlib
import hmac
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum

from connectors.webhooks.contract import REPLAY_WINDOW, Verdict

LONGEST_TIMESTAMP = 12
"""Digits of a Unix time in seconds: enough for thirty thousand years."""


class Algorithm(StrEnum):
    """Hashes that providers make their HMAC with."""

    SHA1 = "sha1"
    SHA256 = "sha256"
    SHA512 = "sha512"


class Encoding(StrEnum):
    """How a signature is written."""

    HEX = "hex"
    BASE64 = "base64"


def signature(
    secret: bytes,
    message: bytes,
    *,
    algorithm: Algorithm = Algorithm.SHA256,
    encoding: Encoding = Encoding.HEX,
) -> str:
    """The HMAC of a message, written out."""
    digest = hmac.new(secret, message, getattr(hashlib, algorithm)).digest()
    if encoding is Encoding.HEX:
        return binascii.hexlify(digest).decode()
    return b64encode(digest).decode()


def matches(sent: Iterable[str], expected: Iterable[str]) -> bool:
    """Whether one of what was sent is one of what is expected; nothing matches nothing."""
    wanted = [one.encode() for one in expected if one]
    found = False
    for one in sent:
        given = one.encode("utf-8", "replace")
        for each in wanted:
            found |= hmac.compare_digest(given, each)
    return found


def by_signature(sent: str | None, secrets: Sequence[str], sign: Callable[[bytes], str]) -> Verdict:
    """The verdict on one signature of a message that ``sign`` signs with a secret."""
    if not sent:
        return Verdict.UNSIGNED
    expected = [sign(secret.encode()) for secret in secrets if secret]
    return Verdict.GENUINE if matches([sent], expected) else Verdict.FORGED


def by_token(sent: str | None, secrets: Sequence[str]) -> Verdict:
    """The verdict on a token that is the secret itself."""
    if not sent:
        return Verdict.UNSIGNED
    return Verdict.GENUINE if matches([sent], secrets) else Verdict.FORGED


def signed_at(written: str) -> datetime | None:
    """A Unix time in seconds, as providers sign it; None if it is not one."""
    if not (written.isascii() and written.isdecimal() and len(written) <= LONGEST_TIMESTAMP):
        return None
    try:
        return datetime.fromtimestamp(int(written), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def is_stale(signed: datetime, now: datetime) -> bool:
    """Whether a signed time lies outside the replay window, before or after."""
    return abs(now - signed) > REPLAY_WINDOW
