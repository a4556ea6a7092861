"""Where a client goes: one origin, and no address inside unless it may."""

import pytest

from connectors.errors import ConfigError
from connectors.http.addresses import GuardedBackend
from connectors.http.call import Call
from connectors.testing.fake_api import Reply


def test_a_link_to_another_origin_is_not_followed(client):
    for url in ("http://evil.example/x", "https://127.0.0.1/x", "http://evil.example/x?a=://"):
        with pytest.raises(ConfigError, match="one origin"):
            client.send(Call(path=url))


def test_a_redirect_is_not_followed_and_its_target_is_named(api, client):
    to = "http://elsewhere.example/v2?token=s3cr3t"
    api.route("GET", "/old", lambda request: Reply(status=302, headers={"Location": to}))

    with pytest.raises(ConfigError, match=r"http://elsewhere.example/v2 ") as told:
        client.get("old")

    assert "s3cr3t" not in str(told.value)
    assert len(api.requests) == 1


def test_a_private_address_is_refused_before_anything_is_sent(api, opened):
    client = opened(allow_private=False)

    with pytest.raises(ConfigError, match="allow_private_addresses"):
        client.get("things")

    assert api.requests == []


def test_a_second_answer_of_the_name_server_helps_nobody():
    """DNS rebinding: each connection is made to the very address that was checked for it."""
    asked, reached = [], []

    def rebinding(host, port):
        asked.append(host)
        return ["8.8.8.8"] if len(asked) == 1 else ["127.0.0.1"]

    class Inner:
        def connect_tcp(self, host, *how):
            reached.append(host)

    backend = GuardedBackend(allow_private=False, resolve=rebinding)
    backend._inner = Inner()  # type: ignore[assignment]

    backend.connect_tcp("shop.example", 443)
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1"):
        backend.connect_tcp("shop.example", 443)

    assert reached == ["8.8.8.8"]
    assert len(asked) == 2


def test_one_private_address_among_others_is_enough_to_refuse(opened):
    client = opened(allow_private=False, resolve=lambda host, port: ["8.8.8.8", "10.0.0.1"])

    with pytest.raises(ConfigError, match=r"10\.0\.0\.1"):
        client.get("things")
