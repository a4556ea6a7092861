"""What happens to every request, whatever it asks for."""

import pytest
from fastapi.testclient import TestClient
from pydantic import BaseModel
from structlog.testing import capture_logs

from connectors.errors import ConfigError, TransientError
from sync_pipelines.catalog.syncs import NotFoundError
from sync_pipelines.engine.dispatch import LimitReachedError
from sync_pipelines.gateway.app import create_app


class Said(BaseModel):
    words: str
    times: int


@pytest.fixture
def app(doors):
    """The gateway with a few routes that fail in every way."""
    app = create_app(doors)

    @app.post("/said")
    def said(said: Said) -> str:
        return said.words

    @app.get("/raised/{kind}")
    def raised(kind: str) -> None:
        raise {
            "missing": NotFoundError("no sync 'x'"),
            "wrong": ConfigError("timezone 'Mars' is not an IANA zone"),
            "limit": LimitReachedError("tenant 'acme' has had its executions"),
            "later": TransientError("the source does not answer"),
            "bug": RuntimeError("password=hunter2"),
        }[kind]

    return app


@pytest.fixture
def client(app):
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def test_the_gateway_says_that_it_is_alive(client):
    """R147."""
    answer = client.get("/health/live")

    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


@pytest.mark.parametrize(
    ("kind", "status"),
    [("missing", 404), ("wrong", 422), ("limit", 429), ("later", 503), ("bug", 500)],
)
def test_every_error_is_a_problem_with_its_status_and_the_request_id(client, kind, status):
    answer = client.get(f"/raised/{kind}", headers={"X-Request-ID": "mine-1"})

    problem = answer.json()
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert (problem["status"], problem["request_id"]) == (status, "mine-1")
    assert answer.headers["X-Request-ID"] == "mine-1"
    assert set(problem) == {"type", "title", "status", "detail", "errors", "request_id"}


@pytest.mark.parametrize("kind", ["limit", "later"])
def test_who_must_wait_is_told_how_long(client, kind):
    answer = client.get(f"/raised/{kind}")

    assert int(answer.headers["Retry-After"]) >= 1


def test_our_own_bug_shows_nothing_of_the_inside(client):
    answer = client.get("/raised/bug")

    assert "hunter2" not in answer.text
    assert "RuntimeError" not in answer.text


def test_a_request_that_is_not_valid_is_answered_by_the_names_of_its_fields(client):
    """R148."""
    answer = client.post("/said", json={"times": "many"})

    assert answer.status_code == 422
    assert {one["field"] for one in answer.json()["errors"]} == {"body.words", "body.times"}


@pytest.mark.parametrize("path", ["/nowhere", "/health/live/../../etc/passwd", "/%00"])
def test_what_is_not_there_is_a_problem_too(client, path):
    answer = client.get(path)

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_body_that_says_it_is_too_long_is_refused_before_it_is_read(client):
    answer = client.post("/said", content=b"x", headers={"Content-Length": "1000001"})

    assert answer.status_code == 413
    assert "1000000 bytes" in answer.json()["detail"]


def test_a_body_that_turns_out_too_long_is_refused_without_a_word_of_its_length(client):
    def endless():
        for _ in range(11):
            yield b"x" * 100_000

    answer = client.post("/said", content=endless(), headers={"Content-Type": "application/json"})

    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("forged", ["a b", "x" * 65, "a\tb", 'a"b', "über"])
def test_a_request_id_that_could_forge_a_line_of_the_log_is_replaced(client, forged):
    answer = client.get("/health/live", headers={"X-Request-ID": forged.encode()})

    assert answer.headers["X-Request-ID"] != forged
    assert len(answer.headers["X-Request-ID"]) == 32


def test_the_log_has_one_line_a_request_with_the_route_and_not_the_address(client):
    with capture_logs() as lines:
        client.get("/raised/missing?token=secret")

    (line,) = [line for line in lines if line["event"] == "http.request"]
    assert (line["method"], line["route"], line["status"]) == ("GET", "/raised/{kind}", 404)
    assert line["tenant"] is None
    assert "secret" not in str(lines)
