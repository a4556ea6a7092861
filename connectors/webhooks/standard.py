"""Standard Webhooks 1.0.0: HMAC-SHA256 or Ed25519 over id, time and body.

Source: the specification, ``spec/standard-webhooks.md`` of standard-webhooks. A symmetric
secret is ``whsec_`` and base64, and its *decoded* bytes are the key; an asymmetric one is
the public key, ``whpk_`` and base64. The id is the same in every attempt, the time is each
attempt's own.
"""

import binascii
from base64 import b64decode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from connectors.webhooks.contract import Notice, Received, Scheme, Verdict
from connectors.webhooks.proof import Encoding, is_stale, matches, signature, signed_at
from connectors.webhooks.reading import needed, read_object, word

SYMMETRIC, PUBLIC = "whsec_", "whpk_"


@dataclass(frozen=True, slots=True)
class StandardWebhooks(Scheme):
    """Events of any sender that follows the specification."""

    def verify(self, request: Received, secrets: Sequence[str]) -> Verdict:
        """By ``webhook-signature``, any of them; the time they sign must be now."""
        identity = request.headers.get("webhook-id")
        written = request.headers.get("webhook-timestamp")
        sent = request.headers.get("webhook-signature")
        if not (identity and written and sent):
            return Verdict.UNSIGNED
        when = signed_at(written)
        if when is None:
            return Verdict.MALFORMED
        message = f"{identity}.{written}.".encode("utf-8", "replace") + request.body
        signatures = sent.split(" ")
        expected = [
            f"v1,{signature(key, message, encoding=Encoding.BASE64)}" for key in _keys(secrets)
        ]
        by_key = matches(signatures, expected)
        if not by_key and not _is_signed_by(signatures, secrets, message):
            return Verdict.FORGED
        return Verdict.STALE if is_stale(when, request.at) else Verdict.GENUINE

    def read(self, request: Received) -> Sequence[Notice]:
        """The event: its ``type``, and ``data`` with its id."""
        event = read_object(request.body)
        kind = word(event.get("type")) or "changed"
        thing = event.get("data")
        return [
            Notice(
                event_id=needed(request.headers.get("webhook-id"), "webhook-id"),
                event_type=kind,
                entity_type=kind.partition(".")[0] if "." in kind else None,
                entity_id=word(thing.get("id")) if isinstance(thing, dict) else None,
                data=event,
            )
        ]


def _keys(secrets: Sequence[str]) -> Iterator[bytes]:
    for secret in secrets:
        key = None if secret.startswith(PUBLIC) else _decoded(secret.removeprefix(SYMMETRIC))
        if key:
            yield key


def _is_signed_by(signatures: Sequence[str], secrets: Sequence[str], message: bytes) -> bool:
    """Whether one of these public keys belongs to one of the ``v1a`` signatures."""
    for secret in secrets:
        key = _decoded(secret.removeprefix(PUBLIC)) if secret.startswith(PUBLIC) else None
        if key is None or len(key) != 32:
            continue
        for one in signatures:
            version, _, written = one.partition(",")
            given = _decoded(written) if version == "v1a" else None
            if given is None:
                continue
            try:
                Ed25519PublicKey.from_public_bytes(key).verify(given, message)
            except InvalidSignature:
                continue
            return True
    return False


def _decoded(written: str) -> bytes | None:
    try:
        return b64decode(written, validate=True)
    except (binascii.Error, ValueError):
        return None
