"""The webhooks of a `QuickBooks` company: CloudEvents as of today, and the form before.

They name what changed and hold no values; one signature is over the whole body.
"""

import hashlib
import hmac
import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx

from tests.providers.intuit import REALM
from tests.providers.quickbooks import QuickBooks

PAST = {"Create": "created", "Update": "updated", "Delete": "deleted", "Void": "voided"}


@dataclass(slots=True)
class CompanyHooks:
    """Sends to ``url``, signed with the app's ``verifier`` token."""

    company: QuickBooks
    url: str
    verifier: str

    def cloud_events(self, changes: Sequence[tuple[str, str, str]]) -> bytes:
        """The body that tells of these: entity, id and operation, as ``Invoice 95 Create``."""
        return json.dumps(
            [
                {
                    "specversion": "1.0",
                    "id": str(uuid4()),
                    "source": "intuit.dsnBgbseACLLRZNxo2dfc4evmEJdxde58xeeYcZliOU=",
                    "type": f"qbo.{entity.lower()}.{PAST[operation]}.v1",
                    "datacontenttype": "application/json",
                    "time": self._now(),
                    "intuitentityid": identity,
                    "intuitaccountid": REALM,
                    "data": {},
                }
                for entity, identity, operation in changes
            ]
        ).encode()

    def old_form(self, changes: Sequence[tuple[str, str, str]]) -> bytes:
        """The same as it was told before."""
        entities: list[dict[str, Any]] = [
            {"id": identity, "operation": operation, "name": entity, "lastUpdated": self._now()}
            for entity, identity, operation in changes
        ]
        told = {"realmId": REALM, "dataChangeEvent": {"entities": entities}}
        return json.dumps({"eventNotifications": [told]}).encode()

    def send(self, body: bytes) -> int:
        """Deliver it once; the answer, for which Intuit waits three seconds."""
        digest = hmac.new(self.verifier.encode(), body, hashlib.sha256).digest()
        headers = {
            "Content-Type": "application/json",
            "intuit-signature": b64encode(digest).decode(),
        }
        return httpx.post(self.url, content=body, headers=headers, timeout=3).status_code

    def _now(self) -> str:
        return self.company.clock().strftime("%Y-%m-%dT%H:%M:%S.000Z")
