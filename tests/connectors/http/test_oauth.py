"""OAuth 2 and 1.0a: grants, refreshes, signatures."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import oauthlib.oauth1 as reference
import pytest

from connectors.errors import AuthError, ConfigError, TransientError
from connectors.http.bearer import MemoryTokens, OAuth2Signer
from connectors.http.call import Call
from connectors.http.client import HttpClient
from connectors.http.oauth import App, Credentials, Pkce, TokenEndpoint, authorization_url, basic
from connectors.http.oauth1 import OAuth1Signer
from connectors.http.outside import Outside
from connectors.surroundings import Tokens
from connectors.testing.fake_api import FakeApi, Reply, cut_off, unauthorized

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


class Provider:
    """Rotates refresh tokens: each is good once."""

    def __init__(self, api):
        self.api = api
        self.now = NOW
        self.good = "refresh-0"
        self.count = 0
        self.forms = []
        api.route("POST", "/token", self.grant)
        api.route("GET", "/me", self.me)

    def grant(self, request):
        form = dict(parse_qsl(request.body.decode()))
        self.forms.append(form)
        if form["grant_type"] == "refresh_token" and form["refresh_token"] != self.good:
            return Reply.json({"error": "invalid_grant"}, status=400)
        self.count += 1
        self.good = f"refresh-{self.count}"
        return Reply.json(
            {
                "access_token": f"access-{self.count}",
                "refresh_token": self.good,
                "expires_in": 3600,
                "realmId": 9,
            }
        )

    def me(self, request):
        fits = request.headers.get("authorization") == f"Bearer access-{self.count}"
        return Reply.json({}, status=200 if fits else 401)

    def app(self, **how):
        url = self.api.url
        how = {"client_id": "me", "client_secret": "hush hush", **how}
        return App(token_url=f"{url}/token", authorize_url=f"{url}/ask", allow_private=True, **how)

    def endpoint(self, **how):
        outside = Outside(now=lambda: self.now, chance=lambda: 0.5, sleep=lambda seconds: None)
        return TokenEndpoint(app=self.app(**how), outside=outside)

    def signer(self, store=None, **how):
        how = {"refresh_token": "refresh-0", **how}
        return OAuth2Signer(endpoint=self.endpoint(), store=store or MemoryTokens(), **how)

    def client(self, signer):
        outside = self.endpoint().outside
        return HttpClient(base_url=self.api.url, signer=signer, allow_private=True, outside=outside)


@pytest.fixture
def provider():
    with FakeApi() as api:
        yield Provider(api)


def test_the_consent_page_is_given_the_challenge_and_not_the_verifier(provider):
    """RFC 7636, appendix B."""
    pkce = Pkce(verifier="dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    app = provider.app(scopes=("read", "write"), asks={"access_type": "offline"})

    url = authorization_url(app, redirect_uri="http://127.0.0.1:1/back", state="s", pkce=pkce)

    said = dict(parse_qsl(urlsplit(url).query))
    assert said["code_challenge"] == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    assert said["code_challenge_method"] == "S256"
    assert said["scope"] == "read write"
    assert (said["state"], said["access_type"]) == ("s", "offline")
    assert pkce.verifier not in url
    assert "verifier" not in repr(pkce).replace("Pkce", "")


def test_a_code_is_exchanged_with_its_verifier(provider):
    pkce = Pkce.of(bytes(range(32)))

    endpoint = provider.endpoint(kept=("realmId",))
    tokens = endpoint.exchange("abc", redirect_uri="http://x/y", pkce=pkce, extra={"shop": "1"})

    [form] = provider.forms
    assert form == {
        "grant_type": "authorization_code",
        "code": "abc",
        "redirect_uri": "http://x/y",
        "code_verifier": pkce.verifier,
    }
    assert provider.api.requests[0].headers["authorization"] == basic("me", "hush hush")
    assert tokens.expires_at == NOW + timedelta(hours=1)
    assert tokens.extra == {"realmId": "9", "shop": "1"}
    assert "access" not in repr(tokens).replace("access_token", "")


def test_credentials_go_into_the_body_where_the_provider_wants_them(provider):
    provider.endpoint(credentials=Credentials.BODY).client_credentials()

    [form] = provider.forms
    assert (form["client_id"], form["client_secret"]) == ("me", "hush hush")
    assert "authorization" not in provider.api.requests[0].headers


def test_a_token_is_used_until_shortly_before_its_end(provider):
    client = provider.client(provider.signer())
    client.get("me")
    provider.now += timedelta(minutes=58)
    client.get("me")
    assert provider.count == 1

    provider.now += timedelta(minutes=1, seconds=30)
    client.get("me")

    assert provider.count == 2
    client.close()


def test_a_token_that_expires_in_the_middle_is_renewed_and_the_call_repeated(provider):
    client = provider.client(provider.signer())
    client.get("me")
    provider.api.at(1, unauthorized)

    assert client.get("me").status == 200

    assert provider.count == 2
    client.close()


def test_a_fresh_token_that_is_refused_is_not_renewed_for_ever(provider):
    client = provider.client(provider.signer())
    provider.api.route("GET", "/me", lambda request: Reply(status=401))

    with pytest.raises(AuthError):
        client.get("me")

    assert provider.count == 2
    client.close()


def test_a_refresh_token_is_saved_before_the_access_token_is_used(provider):
    store = Recording(provider)
    client = provider.client(provider.signer(store))

    client.get("me")

    assert store.saved == [("refresh-1", 0)]
    client.close()


def test_a_saved_refresh_token_is_used_instead_of_the_configured_one(provider):
    store = MemoryTokens()
    provider.signer(store).current()
    provider.now += timedelta(hours=2)

    again = provider.signer(store).current()

    assert provider.forms[-1]["refresh_token"] == "refresh-1"
    assert again.refresh_token == "refresh-2"


def test_a_newly_configured_refresh_token_replaces_what_was_kept(provider):
    store = MemoryTokens()
    provider.signer(store).current()
    provider.good = "pasted anew"

    provider.signer(store, refresh_token="pasted anew").current()

    assert provider.forms[-1]["refresh_token"] == "pasted anew"


def test_a_grant_that_was_taken_back_asks_the_person_again(provider):
    provider.good = "another"

    with pytest.raises(AuthError, match="authorize the connection again"):
        provider.signer().current()

    assert len(provider.forms) == 1


def test_a_connection_that_nobody_authorized_says_so(provider):
    with pytest.raises(AuthError, match="not been authorized yet"):
        provider.signer(refresh_token=None).current()


def test_a_refresh_whose_answer_was_lost_is_not_sent_twice(provider):
    """The provider may have rotated already; a second try would look like theft."""
    provider.api.at(1, cut_off())

    with pytest.raises(TransientError):
        provider.signer().current()

    assert len(provider.forms) == 1


def test_a_refresh_without_a_new_refresh_token_keeps_the_old_one(provider):
    provider.api.route("POST", "/token", lambda request: Reply.json({"access_token": "a"}))

    kept = provider.endpoint().refresh(Tokens(access_token="", refresh_token="lasting"))

    assert kept.refresh_token == "lasting"
    assert kept.expires_at is None


def test_errors_of_the_token_endpoint_show_neither_secret_nor_token(provider):
    said = {"error": "invalid_client", "error_description": "bad hush hush for refresh-0"}
    provider.api.route("POST", "/token", lambda request: Reply.json(said, status=401))

    with pytest.raises(AuthError) as told:
        provider.endpoint(credentials=Credentials.BODY).refresh(
            Tokens(access_token="", refresh_token="refresh-0")
        )

    assert "hush" not in str(told.value)
    assert "refresh-0" not in str(told.value)


@pytest.mark.parametrize(
    ("url", "params"),
    [
        ("http://shop.example/wp-json/wc/v3/orders", (("page", "1"), ("search", "a b+c~ü&="))),
        ("http://shop.example:8080/x?b=2&a=1%202", ()),
        ("HTTP://Shop.Example:80/x", (("z", ""), ("a", "2"), ("a", "1"))),
    ],
)
def test_a_signature_is_the_one_that_the_reference_makes(url, params):
    signer = OAuth1Signer(key="ck", secret="cs&%", now=lambda: NOW, nonce=lambda: "n0nce")

    signed = signer.sign(Call(path=url, params=params), url)

    sent = dict(signed.params)
    from urllib.parse import urlencode

    joined = "&" if "?" in url else "?"
    whole = f"{url}{joined}{urlencode(params)}" if params else url
    expected, _, _ = reference.Client(
        "ck",
        client_secret="cs&%",
        signature_method=reference.SIGNATURE_HMAC_SHA256,
        signature_type=reference.SIGNATURE_TYPE_QUERY,
        nonce="n0nce",
        timestamp=str(int(NOW.timestamp())),
    ).sign(whole)
    said = dict(parse_qsl(urlsplit(expected).query, keep_blank_values=True))
    assert sent["oauth_signature"] == said["oauth_signature"]
    assert "cs" not in repr(signer)


class Recording(MemoryTokens):
    """Notes how often the token had been used when it was saved."""

    def __init__(self, provider):
        super().__init__()
        self._provider = provider
        self.saved = []

    def save(self, tokens):
        used = sum(request.path == "/me" for request in self._provider.api.requests)
        self.saved.append((tokens.refresh_token, used))
        super().save(tokens)


@pytest.mark.parametrize("url", ["javascript:alert(1)", "file:///etc/passwd", "//id.example.com"])
def test_nobody_is_led_to_what_is_no_page(url):
    app = App(token_url="https://id.example.com/token", client_id="me", authorize_url=url)

    with pytest.raises(ConfigError, match="authorize_url"):
        authorization_url(app, redirect_uri="https://x", state="s", pkce=Pkce.of(bytes(32)))
