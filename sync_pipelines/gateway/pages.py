"""The few pages of the gateway's own: signing in and out, and the first admin's.

They need no script and nothing from elsewhere, and a browser is told to allow none.
"""

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, select_autoescape

from connectors.errors import ConfigError
from sync_pipelines.catalog import audit
from sync_pipelines.catalog.credentials import SHORTEST_PASSWORD, hash_password
from sync_pipelines.catalog.sessions import close_session, find_session_for_all_tenants
from sync_pipelines.catalog.users import User, is_first_admin_link, make_first_admin, read_email
from sync_pipelines.gateway.cookies import drop_session, put_session, session_secret
from sync_pipelines.gateway.doors import Doors, ItsDoors
from sync_pipelines.gateway.identity import check_csrf
from sync_pipelines.gateway.problems import ProblemError
from sync_pipelines.gateway.signing_in import check_same_site, open_for, sign_in

router = APIRouter(include_in_schema=False)

STYLE = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif;
  --line: light-dark(#d5d9e0, #3d434d); --quiet: light-dark(#5b6472, #a2abb8);
  --accent: light-dark(#1f5fd0, #7aa7ff); --on-accent: light-dark(#fff, #0b1220);
  --soft: light-dark(#f4f6f9, #22262d); --bad: light-dark(#b3261e, #ff8a80); }
body { margin: 0; }
header { padding: .75rem 1.5rem; border-bottom: 1px solid var(--line); font-weight: 600; }
header a { color: inherit; text-decoration: none; }
main { max-width: 24rem; margin: 3rem auto; padding: 0 1.5rem; }
main.wide { max-width: 72rem; margin-top: 1.5rem; }
h1 { font-size: 1.5rem; line-height: 1.25; overflow-wrap: anywhere; }
h2 { font-size: 1.125rem; margin: 2rem 0 .5rem; text-transform: capitalize; }
a { color: var(--accent); }
label, input, button { display: block; width: 100%; box-sizing: border-box; font: inherit; }
label { font-weight: 600; }
input { margin: .25rem 0 1rem; padding: .5rem .625rem; border: 1px solid var(--line);
  border-radius: .375rem; }
button { padding: .625rem; cursor: pointer; border: 0; border-radius: .375rem; font-weight: 600;
  background: var(--accent); color: var(--on-accent); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.scroll { overflow-x: auto; }
table { width: 100%; text-align: left; border-collapse: collapse; font-size: .9375rem; }
th { color: var(--quiet); font-weight: 600; white-space: nowrap; }
th, td { vertical-align: top; padding: .375rem 1rem .375rem 0; }
td { border-top: 1px solid var(--line); }
.number { text-align: right; font-variant-numeric: tabular-nums; }
details { border-top: 1px solid var(--line); }
summary { padding: .375rem 0; cursor: pointer; overflow-wrap: anywhere; }
details[open] { padding-bottom: 1rem; }
code { font: .875em/1.5 ui-monospace, monospace; background: var(--soft); padding: .1em .3em;
  border-radius: .25rem; }
.problem { border-left: .25rem solid var(--bad); padding: .25rem .75rem; background: var(--soft); }
.hint { margin-top: -.75rem; }
.hint, .quiet { color: var(--quiet); font-size: .875rem; }
"""

HOME = "/account"

_STYLE_HASH = b64encode(sha256(STYLE.encode()).digest()).decode()

HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the address of the first admin's page lets one in
}

_pages = Environment(loader=PackageLoader("sync_pipelines.gateway"), autoescape=select_autoescape())

Written = Annotated[str, Form(max_length=1000)]


@router.get("/")
def root() -> Response:
    """Where people come who know the address alone."""
    return RedirectResponse(HOME, HTTPStatus.SEE_OTHER)


@router.get("/sign-in")
def sign_in_page(doors: ItsDoors, next: Annotated[str, Query(max_length=500)] = HOME) -> Response:
    """The form."""
    return _sign_in_form(doors, next=safe_place(next))


@router.post("/sign-in")
def sign_in_form(
    request: Request, doors: ItsDoors, email: Written, password: Written, next: Written = HOME
) -> Response:
    """Sign in, and go on to where one wanted to be."""
    check_same_site(request, doors)
    try:
        opened = sign_in(request, doors, email=email, password=password)
    except ProblemError as problem:
        return _sign_in_form(doors, next=safe_place(next), email=email, problem=problem)
    response = RedirectResponse(safe_place(next), HTTPStatus.SEE_OTHER)
    put_session(response, request, doors.settings, opened)
    return response


@router.post("/sign-out")
def sign_out(request: Request, doors: ItsDoors, csrf: Written) -> Response:
    """Sign out; the form says the session's word."""
    secret = session_secret(request, doors.settings)
    if secret is not None:
        with doors.catalog.begin() as db:
            found = find_session_for_all_tenants(db, secret, now=doors.clock())
            if found is not None:
                check_csrf(request, found.csrf, csrf)
                close_session(db, secret)
    response = RedirectResponse("/sign-in", HTTPStatus.SEE_OTHER)
    drop_session(response, request, doors.settings)
    return response


@router.get(HOME)
def account(request: Request, doors: ItsDoors) -> Response:
    """Who is signed in, and what they may do."""
    secret = session_secret(request, doors.settings)
    with doors.catalog.begin() as db:
        found = secret and find_session_for_all_tenants(db, secret, now=doors.clock())
    if not found:
        return RedirectResponse("/sign-in", HTTPStatus.SEE_OTHER)
    return page(
        "account.html",
        title="Your account",
        email=found.user.email,
        is_instance_admin=found.user.is_instance_admin,
        memberships=found.user.memberships,
        csrf=found.csrf,
    )


@router.get("/first-admin")
def first_admin_page(doors: ItsDoors, key: Annotated[str, Query(max_length=100)]) -> Response:
    """The form by which an installation gets its first user."""
    with doors.catalog.begin() as db:
        is_good = is_first_admin_link(db, key, now=doors.clock())
    return _first_admin_form(key) if is_good else _no_such_link()


@router.post("/first-admin")
def first_admin_form(
    request: Request, doors: ItsDoors, key: Written, email: Written, password: Written
) -> Response:
    """Make the first user, and sign them in. The link is used up by that, and by nothing else."""
    check_same_site(request, doors)
    with doors.catalog.begin() as db:
        is_good = is_first_admin_link(db, key, now=doors.clock())
    if not is_good:  # before the costly part
        return _no_such_link()
    try:
        address, kept = read_email(email), hash_password(password)
    except ConfigError as error:
        wrong = ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        return _first_admin_form(key, email=email, problem=wrong)
    user = _made(doors, key, address, kept)
    if user is None:
        return _no_such_link()
    response = RedirectResponse(HOME, HTTPStatus.SEE_OTHER)
    put_session(response, request, doors.settings, open_for(request, doors, user))
    return response


def _made(doors: Doors, key: str, email: str, kept: str) -> User | None:
    now = doors.clock()
    with doors.catalog.begin() as db:
        user = make_first_admin(db, key, email=email, password_hash=kept, now=now)
        if user is not None:
            audit.record(
                db,
                at=now,
                actor="first-admin-link",
                action="user.created",
                subject=user.email,
                tenant_id=None,
                after={"is_instance_admin": True},
            )
    return user


def safe_place(wanted: str) -> str:
    """A path of this gateway; anything that leads elsewhere becomes the home."""
    plain = wanted.isprintable() and "\\" not in wanted
    return wanted if plain and wanted.startswith("/") and not wanted.startswith("//") else HOME


def _sign_in_form(
    doors: Doors, *, next: str, email: str = "", problem: ProblemError | None = None
) -> Response:
    has_another_way = doors.settings.oidc_issuer is not None
    return _credentials(
        "Sign in",
        action="/sign-in",
        hidden={"next": next},
        email=email,
        problem=problem,
        elsewhere=f"/sign-in/oidc?next={quote(next)}" if has_another_way else None,
    )


def _first_admin_form(
    key: str, *, email: str = "", problem: ProblemError | None = None
) -> Response:
    return _credentials(
        "The first admin",
        action="/first-admin",
        hidden={"key": key},
        email=email,
        problem=problem,
        is_new=True,
    )


def _no_such_link() -> Response:
    return page(
        "message.html",
        title="This link is not good any more",
        text="It works once, within an hour, while there is no user. "
        "An admin can make users; or start anew for another link.",
        status=HTTPStatus.NOT_FOUND,
    )


def _credentials(
    title: str,
    *,
    action: str,
    hidden: Mapping[str, str],
    email: str,
    problem: ProblemError | None,
    is_new: bool = False,
    elsewhere: str | None = None,
) -> Response:
    return page(
        "credentials.html",
        title=title,
        action=action,
        hidden=hidden,
        email=email,
        problem=problem and _sentence(problem.detail),
        is_new=is_new,
        elsewhere=elsewhere,
        shortest=SHORTEST_PASSWORD,
        button="Set password" if is_new else "Sign in",
        status=problem.status if problem else HTTPStatus.OK,
        headers=problem.headers if problem else {},
    )


def problem_page(
    problem: ProblemError, request_id: str | None, headers: Mapping[str, str]
) -> Response:
    """What is wrong with the request for a page."""
    return page(
        "message.html",
        title=problem.status.phrase,
        text=_sentence(problem.detail),
        request_id=request_id,
        home=HOME,
        status=problem.status,
        headers=headers,
    )


def _sentence(detail: str) -> str:
    return f"{detail[:1].upper()}{detail[1:].rstrip('.')}."


def page(
    template: str,
    *,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
    **values: object,
) -> Response:
    """A page of our own, which no other site may show and that loads nothing."""
    html = _pages.get_template(template).render(style=STYLE, **values)
    return HTMLResponse(html, status, headers={**HEADERS, **(headers or {})})
