"""Credentials: sent where the provider wants them, and told to nobody."""

import pytest

from connectors.errors import ConfigError, TransientError
from connectors.http.client import Limits
from connectors.http.oauth import basic
from connectors.rest.auth import BasicAuth, BearerAuth, HeaderKeyAuth, QueryKeyAuth
from connectors.testing.fake_api import failing, unauthorized

SECRET = "s3cr3t+/key"
AUTHS = [
    BasicAuth(user="me", password=SECRET),
    BearerAuth(token=SECRET),
    HeaderKeyAuth(header="X-Api-Key", key=SECRET),
    QueryKeyAuth(param="api_key", key=SECRET),
]


@pytest.mark.parametrize("auth", AUTHS, ids=lambda auth: type(auth).__name__)
def test_no_error_contains_a_secret_however_it_is_spelled(api, auth, caplog, opened):
    """R106: secrets are in no log and no error."""
    caplog.set_level(0)
    client = opened(auth=auth, limits=Limits(tries=2))
    spoken = f"key {SECRET} is bad, s3cr3t%2B%2Fkey, {basic('me', SECRET)}"
    answers = [failing(400, spoken), unauthorized, failing(500, spoken), failing(500, spoken)]
    api.at(1, *answers)
    texts = []
    for _ in range(3):
        with pytest.raises((ConfigError, TransientError)) as told:
            client.get("things", note="x")
        texts.append(str(told.value))

    everything = " ".join(texts) + caplog.text + repr(auth) + repr(client.signer)
    assert SECRET not in everything
    assert "s3cr3t" not in everything
    assert basic("me", SECRET).split()[1] not in everything


@pytest.mark.parametrize(
    ("auth", "sent"),
    [
        (AUTHS[0], lambda r: r.headers["authorization"] == basic("me", SECRET)),
        (AUTHS[1], lambda r: r.headers["authorization"] == f"Bearer {SECRET}"),
        (AUTHS[2], lambda r: r.headers["x-api-key"] == SECRET),
        (AUTHS[3], lambda r: r.params == {"api_key": SECRET, "a": "1"}),
    ],
)
def test_credentials_are_sent_where_the_provider_wants_them(api, auth, sent, opened):
    client = opened(auth=auth)

    client.get("things", a=1)

    assert sent(api.requests[0])
