"""Where configurations lead, however hostile they are spelled: SSRF."""

import json
from collections.abc import Mapping

import pytest

from connectors import registry
from connectors.addresses import addresses_of, is_refused
from connectors.errors import ConfigError
from connectors.reach import Reach

PUBLIC = "93.184.215.14"
NAMES = {"public.example.com": [PUBLIC], "inside.example.com": [PUBLIC, "10.0.0.7"]}


def lookup(host):
    """A network of names; numbers are what the system takes them for."""
    name = host.rstrip(".")
    return NAMES.get(name, []) if name.endswith(".example.com") else addresses_of(host)


def is_let_in(connector, config):
    """Whether a tenant may configure it."""
    reach = registry.get(connector).reached(config)
    return not (reach.files or [*reach.inside(lookup)] or [*reach.unknown(lookup)])


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001"),
        *("0", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.0.1", "100.64.0.1", "169.254.169.254"),
        *("2852039166", "0xa9fea9fe", "168.63.129.16", "100.100.100.200", "192.0.0.192"),
        *("224.0.0.1", "255.255.255.255", "240.0.0.1", "198.18.0.1", "192.0.2.1"),
        *("::1", "::", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:0:127.0.0.1", "fe80::1"),
        *("fc00::1", "fd00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "::ffff:10.0.0.1"),
        *("64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::a00:1"),
        *("2002:7f00:1::", "2001:0:7f00:1::", "2001:db8::1", "4000::1", "100::1"),
        *("inside.example.com", "inside.example.com.", "nowhere.example.com", ""),
    ],
)
def test_no_spelling_of_a_host_leads_inside(host):
    reach = Reach(hosts=(host,))

    assert [*reach.inside(lookup)] or [*reach.unknown(lookup)]


@pytest.mark.parametrize(
    "host", [PUBLIC, "1572394766", "0x5db8d70e", "2606:2800:21f:cb07::1", "64:ff9b::5db8:d70e"]
)
def test_a_public_host_is_let_through_however_it_is_spelled(host):
    reach = Reach(hosts=(host, "public.example.com", "public.example.com."))

    assert [*reach.inside(lookup), *reach.unknown(lookup)] == []


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
        *("::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::"),
        *("fe80::1", "fe80::1%eth0"),
    ],
)
def test_link_local_addresses_and_those_of_clouds_credentials_are_reached_by_nobody(address):
    assert is_refused(address, allow_private=True)


def test_where_private_addresses_are_allowed_they_are_reached():
    assert not any(is_refused(one, allow_private=True) for one in ("10.0.0.7", "::1", "fd00::1"))


MONGO = {"database": "shop"}
ACCOUNT = {"client_email": "x@y", "private_key": "k"}
S3 = {"url": "s3://bucket/x", "access_key_id": "a", "secret_access_key": "b"}
GS = {"url": "gs://bucket/x"}
REST = {"streams": [{"name": "orders", "path": "/orders", "primary_key": ["id"]}]}
BOOKS = {"client_id": "c", "client_secret": "s"}


@pytest.mark.parametrize(
    ("connector", "config"),
    [
        ("mongodb", {**MONGO, "url": "mongodb://public.example.com/"}),
        ("mongodb", {**MONGO, "url": "mongodb://u:p@public.example.com:1,93.184.215.14:2/?w=1"}),
        ("database", {"url": "mysql://u:p@public.example.com/shop"}),
        ("database", {"url": "postgresql://u@public.example.com/shop"}),
        ("files", S3),
        ("files", {**S3, "endpoint": "https://public.example.com"}),
        ("files", {"url": "sftp://u@public.example.com/in"}),
        ("files", {**GS, "service_account": json.dumps(ACCOUNT)}),
        ("quickbooks", {**BOOKS, "ledger": "postgresql://u@public.example.com/x",
                        "base_url": "https://public.example.com",
                        "authorize_url": "https://public.example.com",
                        "token_url": "https://public.example.com"}),
    ],
)  # fmt: skip
def test_what_leads_outside_may_be_configured(connector, config):
    assert is_let_in(connector, config)


@pytest.mark.parametrize(
    ("connector", "config"),
    [
        ("mongodb", {**MONGO, "url": "mongodb://10.0.0.7/"}),
        ("mongodb", {**MONGO, "url": "mongodb://public.example.com,10.0.0.7:27017/"}),
        ("mongodb", {**MONGO, "url": "mongodb://u:p@public.example.com:1,[::1]:2/"}),
        ("mongodb", {**MONGO, "url": "mongodb://%2Ftmp%2Fmongodb.sock/"}),
        ("mongodb", {**MONGO, "url": "mongodb://public.example.com/?tlsCAFile=/etc/passwd"}),
        ("mongodb", {**MONGO, "url": "mongodb://public.example.com/?authMechanism=MONGODB-OIDC"
                                     "&authMechanismProperties=ENVIRONMENT:azure"}),
        ("mongodb", {**MONGO, "url": "mongodb://public.example.com/?authMechanism=MONGODB-AWS"}),
        ("mongodb", {**MONGO, "url": "mongodb://[/"}),
        ("database", {"url": "mysql://u:p@10.0.0.7/shop"}),
        ("database", {"url": "mariadb://u:p@localhost.nowhere/shop"}),
        ("files", {"url": "file:///etc"}),
        ("files", {**S3, "endpoint": "http://169.254.169.254"}),
        ("files", {"url": "s3://bucket/x"}),
        ("files", {"url": "gs://bucket/x"}),
        ("files", {"url": "az://container/x", "account": "a"}),
        ("files", {"url": "sftp://u@10.0.0.7/in"}),
        ("files", {**GS, "service_account": json.dumps(
            {**ACCOUNT, "gcs_base_url": "http://10.0.0.7"})}),
        ("quickbooks", {**BOOKS, "ledger": "postgresql://u@public.example.com,10.0.0.7/x"}),
        ("quickbooks", {**BOOKS, "ledger": "postgresql://u@public.example.com/x?host=10.0.0.7"}),
        ("quickbooks", {**BOOKS, "ledger": "sqlite:////etc/x.db"}),
        ("quickbooks", {**BOOKS, "token_url": "http://inside.example.com/"}),
        ("stripe", {"api_key": "rk_test_x", "base_url": "http://0x7f000001:80/"}),
    ],
)  # fmt: skip
def test_what_leads_inside_may_not_be_configured(connector, config):
    assert not is_let_in(connector, config)


def test_a_url_of_several_servers_has_all_of_their_hosts():
    found = registry.get("mongodb").reached({**MONGO, "url": "mongodb://u:p@a:1,b,[::1]:3/?w=1"})

    assert found.hosts == ("a", "b", "::1")


def test_what_a_service_record_stands_for_is_looked_at(monkeypatch):
    """``mongodb+srv``: DNS says which servers are meant."""
    import pymongo.synchronous.uri_parser as parser

    asked = []

    def parse(url):
        asked.append(url)
        return {"nodelist": [("b.example.com", 27017), ("10.0.0.7", 27017)]}

    monkeypatch.setattr(parser, "parse_uri", parse)

    found = registry.get("mongodb").reached({**MONGO, "url": "mongodb+srv://c.example.com/"})

    assert found.hosts == ("10.0.0.7", "b.example.com")
    assert asked == ["mongodb+srv://c.example.com/"]


FULL: Mapping[str, Mapping[str, object]] = {
    "database": {"url": f"postgresql://u@{PUBLIC}/shop"},
    "files": {**S3, "endpoint": f"https://{PUBLIC}"},
    "mongodb": {**MONGO, "url": f"mongodb://{PUBLIC}/"},
    "quickbooks": {
        **BOOKS,
        **dict.fromkeys(("base_url", "authorize_url", "token_url"), f"https://{PUBLIC}"),
    },
    "rest_api": {"base_url": f"https://{PUBLIC}", **REST},
    "stripe": {"api_key": "rk_test_x", "base_url": f"https://{PUBLIC}"},
    "supabase": {"url": f"https://{PUBLIC}", "key": "sb_secret_x"},
    "woocommerce": {"store_url": f"https://{PUBLIC}", "consumer_key": "c", "consumer_secret": "s"},
}
"""Of each connector, a configuration that leads outside."""

LEADS_NOWHERE = {
    "files": {
        *("access_key_id", "secret_access_key", "session_token", "service_account"),
        *("account_key", "sas_token", "password", "private_key", "host_key"),
    },
    "mongodb": {"database"},
}
"""Fields of text in which the connectors that judge their own reach see no place."""


@pytest.mark.parametrize("name", sorted(registry.BUILT_IN))
def test_of_every_field_that_takes_a_place_inside_it_is_seen(name):
    """SSRF: a new field that is read as an address and not judged is named here."""
    config, fields = FULL[name], registry.get(name).config.model_fields
    inside = ("http://169.254.169.254/x", "postgresql://u@10.0.0.7/x", "file:///etc/passwd")
    assert is_let_in(name, config)

    taken = {
        field for field in fields for url in inside if taken_unseen(name, {**config, field: url})
    }

    assert taken == LEADS_NOWHERE.get(name, set())


def taken_unseen(name, config):
    """Whether a configuration is valid and is thought to lead outside."""
    try:
        return is_let_in(name, config)
    except ConfigError:
        return False


@pytest.mark.parametrize(
    "trick", ["x@10.0.0.7/?", "10.0.0.7/?", "10.0.0.7#", "a.b", "a:1", "", "a\n"]
)
def test_what_a_stores_host_is_made_of_names_no_other_host(trick):
    """SSRF: `https://s3.{region}.amazonaws.com`, `https://{account}.blob.core.windows.net`."""
    azure = {"url": "az://container/x", "account": trick, "account_key": "aGVsbG8="}

    assert not taken_unseen("files", {**S3, "region": trick})
    assert not taken_unseen("files", azure)
    assert taken_unseen("files", {**S3, "region": "eu-central-1"})
    assert taken_unseen("files", {**azure, "account": "shop1"})
