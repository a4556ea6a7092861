"""Answers: their numbers are exact, refusals keep the provider's words, and none is endless."""

from gzip import compress

import pytest

from connectors.errors import AuthError, ConfigError
from connectors.http.client import Limits
from connectors.testing.fake_api import Reply


def test_a_number_keeps_its_digits(client):
    assert str(client.get("things").json()["things"]) == "[Decimal('1.1'), 2]"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, ConfigError),
        (401, AuthError),
        (403, AuthError),
        (404, ConfigError),
        (422, ConfigError),
    ],
)
def test_a_refusal_is_told_in_the_providers_words_and_not_tried_again(api, client, status, error):
    said = {"errors": [{"message": "per_page must be at most 100"}]}
    api.route("GET", "/no", lambda request: Reply.json(said, status=status))

    with pytest.raises(error, match="per_page must be at most 100"):
        client.get("no")

    assert len(api.requests) == 1


def test_a_refusal_without_words_names_the_remedy(api, client):
    api.route("GET", "/no", lambda request: Reply(status=401))

    with pytest.raises(AuthError, match="credentials"):
        client.get("no")


def test_an_answer_beyond_the_cap_is_refused_also_when_it_is_compressed(api, opened):
    bomb = compress(b" " * 5_000_000)
    api.route("GET", "/big", lambda request: Reply(body=bomb, headers={"Content-Encoding": "gzip"}))
    client = opened(limits=Limits(answer_bytes=100_000))

    with pytest.raises(ConfigError, match="100,000 bytes"):
        client.get("big")
