"""An identity provider for tests: small, and as wrong as a test wants it."""

import base64
from hashlib import sha256
from time import time
from urllib.parse import parse_qs, quote, urlencode

from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from starlette.applications import Starlette
from starlette.responses import JSONResponse, RedirectResponse
from starlette.routing import Route

CLIENT, SECRET = "gateway", "what only the two know"


class FakeProvider:
    """``claims`` replace those of the token that it gives; a code is good once."""

    def __init__(self, clock):
        self.clock = clock
        self.issuer = ""
        self.key = RSAKey.generate_key(2048, {"kid": "first"}, private=True)
        self.signing: RSAKey | OctKey = self.key
        self.algorithm = "RS256"
        self.claims = {}
        self.begun = {}
        self.taken = []
        self.app = Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.discovery),
                Route("/keys", self.keys),
                Route("/authorize", self.authorize),
                Route("/token", self.token, methods=["POST"]),
            ]
        )

    def discovery(self, _):
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
            }
        )

    def keys(self, _):
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})

    def authorize(self, request):
        asked = dict(request.query_params)
        code = f"code-{len(self.begun)}"
        self.begun[code] = asked
        answer = urlencode({"code": code, "state": asked["state"]})
        return RedirectResponse(f"{asked['redirect_uri']}?{answer}")

    async def token(self, request):
        sent = {name: one[0] for name, one in parse_qs((await request.body()).decode()).items()}
        asked = self.begun.pop(sent.get("code", ""), None)
        said = request.headers.get("authorization", "").removeprefix("Basic ")
        challenge = base64.urlsafe_b64encode(
            sha256(sent.get("code_verifier", "").encode()).digest()
        ).rstrip(b"=")
        if (
            asked is None
            or asked["code_challenge_method"] != "S256"
            or challenge.decode() != asked["code_challenge"]
            or asked["redirect_uri"] != sent["redirect_uri"]
            or base64.b64decode(said).decode() != f"{CLIENT}:{quote(SECRET, safe='')}"
        ):
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        self.taken.append(sent["code"])
        return JSONResponse(
            {"access_token": "a", "token_type": "Bearer", "id_token": self.id_token(asked)}
        )

    def id_token(self, asked):
        now = int(self.clock().timestamp()) if self.clock else int(time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT,
            "sub": "1",
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            "email": "Ana@example.com",
            "email_verified": True,
            **self.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": self.algorithm, "kid": self.signing.kid or "first"}
        return jwt.encode(header, claims, self.signing, algorithms=[self.algorithm])

    def change_keys(self):
        self.key = RSAKey.generate_key(2048, {"kid": "second"}, private=True)
        self.signing = self.key

    def forge(self):
        """Sign with a key of somebody else's that goes by the same name."""
        self.signing = RSAKey.generate_key(2048, {"kid": "first"}, private=True)

    def sign_with_the_secret(self):
        self.signing, self.algorithm = OctKey.import_key(SECRET), "HS256"
