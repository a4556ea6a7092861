"""Intuit's token server: consent, codes with PKCE, tokens that end, refresh tokens used once."""

from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from threading import RLock
from typing import Any
from urllib.parse import parse_qsl, urlencode

from connectors.testing.fake_api import Reply, Request

CLIENT, SECRET = "client-7", "app-secret-7"
REALM = "9130347"


@dataclass
class Intuit:
    """Grants access for an hour."""

    clock: Callable[[], datetime]
    codes: dict[str, dict] = field(default_factory=dict)
    access: dict[str, datetime] = field(default_factory=dict)
    refresh: set[str] = field(default_factory=lambda: {"refresh-0"})
    granted: int = 0
    lock: Any = field(default_factory=RLock)

    def _consent(self, request: Request) -> Reply:
        """Somebody says yes."""
        asked = request.params
        if asked["client_id"] != CLIENT or asked["response_type"] != "code":
            return Reply(status=400, body=b"unknown app")
        code = f"code-{len(self.codes)}"
        self.codes[code] = dict(asked)
        back = urlencode({"code": code, "state": asked["state"], "realmId": REALM})
        return Reply(status=302, headers={"Location": f"{asked['redirect_uri']}?{back}"})

    def _tokens(self, request: Request) -> Reply:
        given = b64decode(request.headers.get("authorization", "").removeprefix("Basic "))
        if given.decode() != f"{CLIENT}:{SECRET}":
            return Reply.json({"error": "invalid_client"}, status=401)
        form = dict(parse_qsl(request.body.decode()))
        with self.lock:
            if form["grant_type"] == "refresh_token":
                if form["refresh_token"] not in self.refresh:
                    return Reply.json({"error": "invalid_grant"}, status=400)
                self.refresh.discard(form["refresh_token"])
            else:
                asked = self.codes.pop(form["code"], None)
                hashed = sha256(form["code_verifier"].encode()).digest()
                challenge = urlsafe_b64encode(hashed).rstrip(b"=").decode()
                same = asked and asked["redirect_uri"] == form["redirect_uri"]
                if not same or asked["code_challenge"] != challenge:
                    return Reply.json({"error": "invalid_grant"}, status=400)
            self.granted += 1
            access, refresh = f"access-{self.granted}", f"refresh-{self.granted}"
            self.access[access] = self.clock() + timedelta(hours=1)
            self.refresh.add(refresh)
        return Reply.json(
            {
                "access_token": access,
                "refresh_token": refresh,
                "expires_in": 3600,
                "x_refresh_token_expires_in": 8726400,
                "token_type": "bearer",
            }
        )
