"""What holds for every route there is, also for those that come later."""

import pytest
from structlog.testing import capture_logs

from sync_pipelines.model.roles import Role
from tests.gateway.people import token

OPEN = ("/health/", "/webhooks/", "/api/v2/session", "/api/openapi.json", "/api/docs")
"""Where one comes in without being known: probes, signed webhooks, signing in, the document."""

METHODS = ("get", "post", "put", "patch", "delete")


def routes(client):
    """Method and path of everything in the document, with some id in each place of one."""
    for path, operations in client.app.openapi()["paths"].items():
        for method in METHODS:
            if method in operations and not path.startswith(OPEN):
                yield method, path.replace("{", "").replace("}", "")


def test_nobody_comes_in_unknown(client):
    """R128. A route that forgot to ask who is there is named here."""
    found = list(routes(client))

    answered = {
        (method, path): client.request(method, path, json={}).status_code for method, path in found
    }

    assert ("get", "/api/v2/me") in found
    assert {route: code for route, code in answered.items() if code != 401} == {}


def test_no_route_breaks_over_a_request_without_a_body(client, world):
    found = list(routes(client))
    headers = token(world, "acme", Role.VIEWER)

    codes = [client.request(method, path, headers=headers).status_code for method, path in found]

    assert {code for code in codes if code >= 500} == set()


@pytest.mark.parametrize("path", ["/api/v2/tokens", "/api/v2/audit"])
def test_the_line_in_the_log_says_who_asked_and_for_whom(client, world, path):
    with capture_logs() as lines:
        client.get(path, headers=token(world, "acme"))

    (line,) = [line for line in lines if line["event"] == "http.request"]
    assert line["tenant"] == "acme"
    assert line["actor"].startswith("token:")
    assert line["status"] == 200
