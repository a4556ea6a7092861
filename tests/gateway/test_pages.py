"""What a person sees who is somewhere wrong: a page, and not what programs read."""

import pytest

from sync_pipelines.model.roles import Role
from tests.gateway.people import PASSWORD, token, user

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def test_who_knows_the_address_alone_is_led_to_where_one_signs_in(client):
    answer = client.get("/", headers=BROWSER)

    assert answer.url.path == "/sign-in"
    assert 'type="password"' in answer.text


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/nowhere", 404, "Nothing matches the given URI"),
        ("/syncs/acme/nothing", 404, "nothing"),
        ("/dagster/runs", 403, "This needs an instance admin"),
    ],
)
def test_a_browser_is_shown_what_is_wrong_as_a_page(client, world, path, status, words):
    world.sync("acme/orders")
    answer = client.get(path, headers={**BROWSER, **token(world, "acme", Role.VIEWER)})

    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert words in answer.text
    assert answer.headers["X-Request-ID"] in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/api/v2/nowhere", "/health/nowhere"])
def test_programs_are_told_as_programs_whatever_they_accept(client, path):
    answer = client.get(path, headers=BROWSER)

    assert answer.headers["content-type"] == "application/problem+json"


def test_what_a_path_says_is_text_on_the_page_too(client, world):
    headers = {**BROWSER, **token(world, "acme", Role.VIEWER)}

    answer = client.get("/syncs/acme/%3Cscript%3Ealert(1)%3C%2Fscript%3E", headers=headers)

    assert "<script>" not in answer.text


def test_a_form_that_another_sites_page_sends_is_refused_as_a_page(client, world):
    user(world, acme=Role.VIEWER)

    answer = client.post(
        "/sign-in",
        data={"email": "ana@example.com", "password": PASSWORD},
        headers={**BROWSER, "Origin": "https://evil.example"},
    )

    assert answer.status_code == 403
    assert answer.headers["content-type"].startswith("text/html")


def test_who_was_signed_in_too_long_ago_signs_in_again_and_comes_back(client, world):
    user(world, acme=Role.VIEWER)
    client.post("/api/v2/session", json={"email": "ana@example.com", "password": PASSWORD})
    world.clock.advance(hours=12)

    answer = client.get("/syncs/acme/orders", headers=BROWSER, follow_redirects=False)

    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/sign-in?next=")
