"""Signing in with the organization's provider: R129."""

from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError

from sync_pipelines.catalog.users import find_user, make_user
from sync_pipelines.gateway.app import create_app
from sync_pipelines.settings import Settings
from tests.gateway.provider import CLIENT, SECRET, FakeProvider
from tests.gateway.served import served

BEGIN, CALLBACK = "/sign-in/oidc", "/sign-in/oidc/callback"


@pytest.fixture
def provider(world):
    provider = FakeProvider(world.clock)
    with served(provider.app) as address:
        provider.issuer = address
        yield provider


@pytest.fixture
def gateway(doors, provider):
    settings = Settings(
        oidc_issuer=provider.issuer,
        oidc_client_id=CLIENT,
        oidc_client_secret=SECRET,
        oidc_domains="partner.example, Other.example",
    )
    app = create_app(replace(doors, settings=settings))
    with TestClient(app, raise_server_exceptions=False, follow_redirects=False) as client:
        yield client


@pytest.fixture
def ana(world):
    with world.catalog.begin() as db:
        return make_user(db, "ana@example.com", password_hash=None, now=world.clock())


def led_back(gateway, **query):
    """Begin, sign in at the provider, and give where that leads: path with query."""
    begun = gateway.get(BEGIN, params=query)
    assert begun.status_code == 303
    back = httpx.get(begun.headers["location"]).headers["location"]
    parts = urlsplit(back)
    return f"{parts.path}?{parts.query}"


def test_a_user_signs_in_and_comes_to_where_they_wanted(gateway, ana):
    answer = gateway.get(led_back(gateway, next="/dagster/runs"))

    assert (answer.status_code, answer.headers["location"]) == (303, "/dagster/runs")
    assert gateway.get("/api/v2/me").json()["actor"] == "user:ana@example.com"


def test_the_provider_is_asked_with_a_challenge_and_without_our_secrets(gateway, ana):
    asked = parse_qs(urlsplit(gateway.get(BEGIN).headers["location"]).query)

    assert asked["response_type"] == ["code"]
    assert asked["code_challenge_method"] == ["S256"]
    assert set(asked["scope"][0].split()) == {"openid", "email"}
    assert {"state", "nonce", "code_challenge"} <= asked.keys()
    assert "code_verifier" not in asked


def test_where_one_wanted_to_be_is_never_elsewhere(gateway, ana):
    answer = gateway.get(led_back(gateway, next="https://evil.example"))

    assert answer.headers["location"] == "/account"


def test_who_is_no_user_does_not_come_in(gateway, world):
    answer = gateway.get(led_back(gateway))

    assert answer.status_code == 401
    assert "sync_session" not in gateway.cookies
    assert "ana@example.com" not in answer.text


def test_of_a_named_domain_one_becomes_a_user_without_a_role(gateway, provider, world):
    provider.claims = {"email": "ben@other.example"}

    answer = gateway.get(led_back(gateway))

    with world.catalog.begin() as db:
        made = find_user(db, "ben@other.example")
    assert answer.status_code == 303
    assert (made.memberships, made.is_instance_admin, made.has_password) == ((), False, False)


@pytest.mark.parametrize("email", ["x@sub.other.example", "x@notother.example", "x@other.example."])
def test_a_domain_that_only_looks_like_a_named_one_is_none(gateway, provider, email):
    provider.claims = {"email": email}

    assert gateway.get(led_back(gateway)).status_code == 401


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"aud": "somebody-else"},
        {"aud": ["somebody", "else"]},
        {"aud": ["gateway", "other"], "azp": "other"},
        {"nonce": "of another sign-in"},
        {"nonce": None},
        {"exp": 1},
        {"exp": None},
        {"exp": "never"},
        {"iat": 99999999999},
        {"email_verified": False},
        {"email_verified": "true"},
        {"email_verified": None},
        {"email": None},
        {"email": ["ana@example.com"]},
    ],
)
def test_a_token_that_is_wrong_in_one_claim_does_not_count(gateway, provider, ana, claims):
    provider.claims = claims

    answer = gateway.get(led_back(gateway))

    assert answer.status_code == 401
    assert provider.taken
    assert "sync_session" not in gateway.cookies


@pytest.mark.parametrize("trick", ["forge", "sign_with_the_secret"])
def test_a_token_that_the_provider_did_not_sign_does_not_count(gateway, provider, ana, trick):
    getattr(provider, trick)()

    assert gateway.get(led_back(gateway)).status_code == 401


def test_keys_that_the_provider_has_changed_are_asked_for(gateway, provider, ana):
    gateway.get(led_back(gateway))
    provider.change_keys()

    assert gateway.get(led_back(gateway)).status_code == 303


def test_a_code_brought_to_another_browser_signs_nobody_in(gateway, ana):
    back = led_back(gateway)
    gateway.cookies.clear()

    assert gateway.get(back).status_code == 401


def test_an_answer_to_another_sign_in_or_too_late_or_twice_does_not_count(gateway, world, ana):
    first = led_back(gateway)
    second = led_back(gateway)

    codes = [gateway.get(first).status_code]
    third = led_back(gateway)
    codes += [gateway.get(third).status_code, gateway.get(third).status_code]
    late = led_back(gateway)
    world.clock.advance(minutes=11)
    codes.append(gateway.get(late).status_code)

    assert second
    assert codes == [401, 303, 401, 401]


def test_a_provider_that_is_away_is_told(doors):
    settings = Settings(oidc_issuer="http://127.0.0.1:1", oidc_client_id=CLIENT)
    with TestClient(create_app(replace(doors, settings=settings))) as gateway:
        answer = gateway.get(BEGIN, follow_redirects=False)

    assert answer.status_code == 502


def test_a_provider_that_is_not_who_it_should_be_is_not_followed(gateway, provider):
    provider.issuer = "http://127.0.0.1:2"

    assert gateway.get(BEGIN).status_code == 502


def test_without_a_provider_there_is_no_such_way(client):
    assert client.get(BEGIN).status_code == 404
    assert BEGIN not in client.get("/sign-in").text


def test_the_form_leads_there_if_there_is_one(gateway):
    assert f'href="{BEGIN}?next=/account"' in gateway.get("/sign-in").text


def test_an_issuer_without_a_client_is_told():
    with pytest.raises(ValidationError, match="SYNC_OIDC_CLIENT_ID"):
        Settings(oidc_issuer="https://id.example")
