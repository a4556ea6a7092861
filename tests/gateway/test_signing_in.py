"""People: signing in and out, being locked out, the first of them; and other sites' pages."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from sync_pipelines.catalog.sessions import lock_of
from sync_pipelines.catalog.tables import SessionRow, UserRow
from sync_pipelines.catalog.users import offer_first_admin
from sync_pipelines.gateway.app import create_app
from sync_pipelines.model.roles import Role
from sync_pipelines.settings import Settings
from tests.gateway.people import PASSWORD, user

EMAIL = "ana@example.com"


def sign_in(client, password=PASSWORD, email=EMAIL, **headers):
    said = {"email": email, "password": password}
    return client.post("/api/v2/session", json=said, headers=headers)


def make_token(client, **headers):
    return client.post("/api/v2/tokens", json={"name": "x"}, headers=headers)


def test_a_person_signs_in_looks_changes_and_signs_out(client, world):
    """R128."""
    user(world, acme=Role.ADMIN)
    opened = sign_in(client, email="  Ana@Example.com ")
    csrf = opened.json()["csrf_token"]

    looked = client.get("/api/v2/me").json()
    changed = make_token(client, **{"X-CSRF-Token": csrf})
    out = client.delete("/api/v2/session", headers={"X-CSRF-Token": csrf})

    assert opened.status_code == 201
    assert (looked["actor"], looked["tenants"][0]["role"]) == ("user:ana@example.com", "admin")
    assert (changed.status_code, out.status_code) == (201, 204)
    assert client.get("/api/v2/me").status_code == 401


def test_the_cookie_is_for_no_script_and_no_other_site(client, world):
    user(world)

    cookie = sign_in(client).headers["set-cookie"]

    assert cookie.startswith("sync_session=")
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie


def test_behind_tls_the_cookie_is_for_tls_and_this_host_only(doors, world):
    user(world)
    with TestClient(create_app(doors), base_url="https://testserver") as client:
        cookie = sign_in(client).headers["set-cookie"]
        me = client.get("/api/v2/me")

    assert cookie.startswith("__Host-sync_session=")
    assert "Secure" in cookie
    assert me.status_code == 200


@pytest.mark.parametrize("said", [{}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "x" * 43}])
def test_a_change_by_cookie_without_the_sessions_word_is_refused(client, world, said):
    user(world, acme=Role.ADMIN)
    sign_in(client)

    answer = make_token(client, **said)

    assert answer.status_code == 403
    assert "X-CSRF-Token" in answer.json()["detail"]


def test_another_sessions_word_is_not_this_ones(client, world, doors):
    user(world, acme=Role.ADMIN)
    with TestClient(create_app(doors)) as other:
        foreign = sign_in(other).json()["csrf_token"]
    sign_in(client)

    assert make_token(client, **{"X-CSRF-Token": foreign}).status_code == 403


def test_a_session_that_was_laid_under_somebody_is_worth_nothing(client, world):
    """Session fixation: signing in makes a new name, and forgets the one before."""
    user(world)
    laid = "laid-by-somebody-else"
    client.cookies.set("sync_session", laid)
    first = sign_in(client).cookies["sync_session"]

    second = sign_in(client).cookies["sync_session"]

    assert len({laid, first, second}) == 3
    for old in (laid, first):
        client.cookies.clear()
        client.cookies.set("sync_session", old)
        assert client.get("/api/v2/me").status_code == 401


def test_a_session_ends_by_itself(client, world):
    user(world)
    sign_in(client)
    world.clock.advance(hours=12)

    assert client.get("/api/v2/me").status_code == 401


def test_only_hashes_of_sessions_and_passwords_are_kept(client, world):
    """R131."""
    user(world)
    secret = sign_in(client).cookies["sync_session"]

    with world.catalog.begin() as db:
        kept = str(db.execute(select(SessionRow.__table__)).all())
        password = db.scalar(select(UserRow.password_hash))

    assert secret not in kept
    assert password.startswith("$argon2id$")


@pytest.mark.parametrize(
    ("email", "password"),
    [
        (EMAIL, "wrong"),
        ("nobody@example.com", PASSWORD),
        ("no-password@example.com", PASSWORD),
        ("' OR 1=1 --", PASSWORD),
        ("no-password@example.com", ""),
    ],
)
def test_who_exists_is_not_told(client, world, email, password):
    user(world)
    user(world, "no-password@example.com")
    with world.catalog.begin() as db:
        without = update(UserRow).where(UserRow.email.startswith("no-"))
        db.execute(without.values(password_hash=None))

    answer = sign_in(client, password, email)

    assert answer.status_code == 401
    assert answer.json()["detail"] == "the email or the password is wrong"


@pytest.mark.parametrize("email", [EMAIL, "nobody@example.com"])
def test_after_five_failures_even_the_right_password_waits_and_longer_each_time(
    client, world, email
):
    user(world)
    codes = [sign_in(client, "wrong", email).status_code for _ in range(5)]
    locked = sign_in(client, PASSWORD, email)
    world.clock.advance(seconds=31)
    sign_in(client, "wrong", email)
    again = sign_in(client, PASSWORD, email)

    assert codes == [401] * 5
    assert (locked.status_code, locked.headers["Retry-After"]) == (429, "30")
    assert (again.status_code, again.headers["Retry-After"]) == (429, "60")


def test_success_forgets_the_users_failures(client, world):
    user(world)
    for _ in range(3):
        for _ in range(4):
            sign_in(client, "wrong")
        assert sign_in(client).status_code == 201


def test_an_address_that_tries_many_users_is_locked_out_too(client, world):
    codes = [sign_in(client, "x", f"u{number}@example.com").status_code for number in range(21)]

    assert codes == [401] * 20 + [429]


def test_many_tries_at_once_are_as_many_tries(client, world):
    user(world)
    with ThreadPoolExecutor(12) as pool:
        codes = list(pool.map(lambda _: sign_in(client, "wrong").status_code, range(12)))

    assert sorted(codes) == [401] * 5 + [429] * 7


def test_a_lock_doubles_up_to_an_hour():
    locks = [lock_of(failures, 5) for failures in (4, 5, 6, 7, 40, 4000)]

    minute = timedelta(minutes=1)
    assert locks == [timedelta(0), minute / 2, minute, 2 * minute, 60 * minute, 60 * minute]


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_another_sites_page_signs_nobody_in(client, world, headers):
    user(world)
    form = {"email": EMAIL, "password": PASSWORD}

    answers = [
        client.post("/sign-in", data=form, headers=headers, follow_redirects=False),
        sign_in(client, **headers),
    ]

    assert [answer.status_code for answer in answers] == [403, 403]


def test_a_text_that_cannot_be_stored_is_the_callers_mistake(client, world):
    """R148."""
    assert sign_in(client, email="a\x00b").status_code == 422


# --- pages -------------------------------------------------------------------------


def test_the_page_signs_in_and_out(client, world):
    user(world, acme=Role.VIEWER)
    form = {"email": EMAIL, "password": PASSWORD, "next": "/account"}

    page = client.post("/sign-in", data=form, headers={"Origin": "http://testserver"})
    word = re.search(r'name="csrf" value="([^"]+)"', page.text)[1]
    forged = client.post("/sign-out", data={"csrf": "x"})
    out = client.post("/sign-out", data={"csrf": word})

    assert page.url.path == "/account"
    assert "acme" in page.text
    assert forged.status_code == 403
    assert out.url.path == "/sign-in"
    assert client.get("/api/v2/me").status_code == 401


@pytest.mark.parametrize(
    "wanted", ["https://evil.example", "//evil.example", "/\\evil.example", "/a\r\nSet-Cookie: a=b"]
)
def test_after_signing_in_one_is_not_sent_elsewhere(client, world, wanted):
    user(world)
    form = {"email": EMAIL, "password": PASSWORD, "next": wanted}

    answer = client.post("/sign-in", data=form, follow_redirects=False)

    assert answer.headers["location"] == "/account"


def test_what_is_typed_comes_back_as_text(client):
    hostile = '"><script>alert(1)</script>'

    page = client.post("/sign-in", data={"email": hostile, "password": "x"})

    assert page.status_code == 401
    assert "<script>" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


@pytest.fixture
def link(world):
    with world.catalog.begin() as db:
        return offer_first_admin(db, now=world.clock())


def make_first(client, key, **fields):
    form = {"key": key, "email": "boss@example.com", "password": PASSWORD, **fields}
    return client.post("/first-admin", data=form)


def test_the_first_admins_link_makes_an_instance_admin_once(client, world, link):
    shown = client.get(f"/first-admin?key={link}")
    made = make_first(client, link)
    me = client.get("/api/v2/me").json()
    again = make_first(client, link, email="second@example.com")

    assert (shown.status_code, made.status_code) == (200, 200)
    assert shown.headers["referrer-policy"] == "no-referrer"
    assert me["is_instance_admin"]
    assert again.status_code == 404
    assert client.get(f"/first-admin?key={link}").status_code == 404
    with world.catalog.begin() as db:
        assert list(db.scalars(select(UserRow.email))) == ["boss@example.com"]
        assert offer_first_admin(db, now=world.clock()) is None


def test_two_people_with_the_link_become_one_first_admin(client, world, link):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: make_first(client, link, email=f"u{n}@example.com"), range(4)))

    with world.catalog.begin() as db:
        assert len(list(db.scalars(select(UserRow.email)))) == 1


def test_a_mistake_does_not_use_the_link_up(client, link):
    wrong = [make_first(client, link, password="short"), make_first(client, link, email="nobody")]

    assert [page.status_code for page in wrong] == [422, 422]
    assert make_first(client, link).status_code == 200


def test_the_link_is_good_for_an_hour_and_no_other_is_good(client, world, link):
    guessed = client.get("/first-admin?key=guessed").status_code
    world.clock.advance(hours=1)

    late = make_first(client, link).status_code

    assert (guessed, late) == (404, 404)


def test_the_public_url_says_whether_cookies_are_for_tls(world, doors):
    from dataclasses import replace

    user(world)
    behind = replace(doors, settings=Settings(public_url="https://sync.example.com"))
    with TestClient(create_app(behind)) as client:
        cookie = sign_in(client, Origin="https://sync.example.com").headers["set-cookie"]

    assert "Secure" in cookie
