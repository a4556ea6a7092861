"""Users, tokens and the audit, by command."""

import json

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from sync_pipelines.catalog.credentials import is_password
from sync_pipelines.catalog.tokens import find_token_for_all_tenants
from sync_pipelines.catalog.users import password_hash_for_all_tenants
from sync_pipelines.cli import app

PASSWORD = "four plain words here"


@pytest.fixture(autouse=True)
def nobody(catalog):
    with catalog.begin() as db:
        db.execute(text("TRUNCATE sync.users, sync.api_tokens CASCADE"))


def with_password(*words, password=PASSWORD, code=0):
    result = CliRunner().invoke(app, [*words, "--password-stdin"], input=f"{password}\n")
    assert result.exit_code == code, result.output
    return result


def actions(cli):
    return [one["action"] for one in json.loads(cli("audit", "list", "--json").stdout)]


def test_a_token_is_made_listed_and_revoked(cli, catalog, shop):
    made = json.loads(
        cli("tokens", "create", "acme", "--name", "ci", "--role", "operator", "--scope",
            "executions", "--days", "30", "--json").stdout
    )  # fmt: skip
    listed = cli("tokens", "list", "acme").stdout
    cli("tokens", "revoke", made["prefix"])
    cli("tokens", "revoke", made["prefix"])

    with catalog.begin() as db:
        found = find_token_for_all_tenants(db, made["token"])
    assert (found.name, found.role, found.scopes, found.tenant) == (
        "ci", "operator", ("executions",), "acme",
    )  # fmt: skip
    assert found.revoked_at is not None
    assert made["prefix"] in listed
    assert made["token"] not in listed
    assert actions(cli)[:2] == ["token.revoked", "token.created"]


def test_a_plain_token_alone_is_on_standard_output(cli, shop):
    made = cli("tokens", "create", "acme")

    assert made.stdout.startswith("sync_")
    assert len(made.stdout.split()) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("tokens", "create", "nobody"), "no tenant 'nobody'"),
        (("tokens", "create", "--scope", "everything"), "no scope 'everything'"),
        (("tokens", "revoke", "0123456789"), "no token"),
        (("users", "remove", "ana@example.com"), "no user"),
        (("users", "create", "ana"), "not an email address"),
        (("users", "create", "ana@example.com"), "--password-stdin"),
    ],
)
def test_a_mistake_is_said_in_a_line(cli, words, said):
    failed = cli(*words, fails=1)

    assert said in failed.stderr
    assert "Traceback" not in failed.output


def test_a_user_is_made_given_roles_and_removed(cli, catalog, shop):
    with_password("users", "create", "Ana@example.com", "--tenant", "acme", "--role", "operator")
    cli("users", "create", "ana@example.com", "--tenant", "acme", "--role", "admin")
    (listed,) = json.loads(cli("users", "list", "--json").stdout)
    with_password("users", "set-password", "ana@example.com", password="other plain words here")
    with catalog.begin() as db:
        kept = password_hash_for_all_tenants(db, "ana@example.com")
    cli("users", "remove", "ana@example.com", "--tenant", "acme")
    cli("users", "remove", "ana@example.com")

    assert (listed["email"], listed["tenants"]) == ("ana@example.com", {"acme": "admin"})
    assert is_password("other plain words here", kept)
    assert not is_password(PASSWORD, kept)
    assert json.loads(cli("users", "list", "--json").stdout) == []
    assert actions(cli)[:6] == [
        "user.removed", "role.removed", "user.password_set", "role.given", "role.given",
        "user.created",
    ]  # fmt: skip


def test_a_short_password_is_refused(cli):
    result = with_password("users", "create", "ana@example.com", password="short", code=1)

    assert "12" in result.stderr


def test_the_last_instance_admin_stays(cli):
    with_password("users", "create", "ana@example.com", "--instance-admin")

    failed = cli("users", "remove", "ana@example.com", fails=1)

    assert "last instance admin" in failed.stderr


@pytest.fixture
def chain(cli, catalog, shop):
    """Five rows of the audit and more; the last hash."""
    for number in range(5):
        cli("tokens", "create", "acme", "--name", f"n{number}")
    whole = json.loads(cli("audit", "verify", "--json").stdout)
    assert whole["broken"] is None
    return whole


@pytest.mark.parametrize(
    ("tampering", "reason"),
    [
        ("UPDATE sync.audit_log SET actor = 'nobody' WHERE id = :id", "changed after"),
        ("UPDATE sync.audit_log SET after = '{}' WHERE id = :id", "changed after"),
        ("UPDATE sync.audit_log SET at = at + interval '1 us' WHERE id = :id", "changed after"),
        ("DELETE FROM sync.audit_log WHERE id = :id - 1", "removed"),
        ("UPDATE sync.audit_log SET id = id + 1000 WHERE id = :id - 1", "removed"),
    ],
)
def test_the_first_row_that_is_wrong_is_named(cli, catalog, chain, tampering, reason):
    """R133."""
    with catalog.begin() as db:
        victim = db.scalar(text("SELECT max(id) - 2 FROM sync.audit_log"))
        db.execute(text(tampering), {"id": victim})

    said = cli("audit", "verify", fails=1).stdout
    broken = json.loads(cli("audit", "verify", "--json", fails=1).stdout)["broken"]

    assert broken["id"] == victim
    assert f"row {victim}" in said
    assert reason in said


CUT = "DELETE FROM sync.audit_log WHERE id > (SELECT max(id) - 2 FROM sync.audit_log)"


def test_rows_cut_off_the_end_are_missed(cli, catalog, chain):
    """R133."""
    with catalog.begin() as db:
        last = db.scalar(text("SELECT max(id) FROM sync.audit_log"))
        db.execute(text(CUT))

    said = cli("audit", "verify", fails=1).stdout
    told = json.loads(cli("audit", "verify", "--json", fails=1).stdout)

    assert f"rows are gone from the end: there were {chain['rows']}, the last is id {last}" in said
    assert (told["rows"], told["broken"]) == (chain["rows"] - 2, None)
    assert "gone from the end" in told["cut"]


def test_a_cut_is_told_where_it_is_also_after_other_rows_have_followed(cli, catalog, chain):
    """What follows names the last of the rows that are gone."""
    with catalog.begin() as db:
        db.execute(text(CUT))
    cli("tokens", "create", "acme", "--name", "later")

    broken = json.loads(cli("audit", "verify", "--json", fails=1).stdout)["broken"]

    with catalog.begin() as db:
        assert broken["id"] == db.scalar(text("SELECT max(id) FROM sync.audit_log"))
    assert "removed" in broken["reason"]


@pytest.mark.parametrize("goes_on", [False, True])
def test_who_removes_the_row_that_says_where_the_end_is_leaves_a_trace(
    cli, catalog, chain, goes_on
):
    with catalog.begin() as db:
        db.execute(text(CUT))
        db.execute(text("DELETE FROM sync.audit_heads"))
    if goes_on:
        cli("tokens", "create", "acme", "--name", "later")

    said = cli("audit", "verify", fails=1).stdout

    assert "rows may be gone from the end" in said


def test_who_writes_another_end_too_is_told_by_a_hash_that_was_kept_elsewhere(cli, catalog, chain):
    """The one tampering that this database alone cannot show."""
    kept = cli("audit", "head").stdout.strip()
    cli("audit", "verify", "--head", kept)
    with catalog.begin() as db:
        db.execute(text(CUT))
        db.execute(
            text(
                "UPDATE sync.audit_heads SET length = length - 2, (last_id, hash) ="
                " (SELECT id, hash FROM sync.audit_log ORDER BY id DESC LIMIT 1)"
            )
        )

    cli("audit", "verify")
    said = cli("audit", "verify", "--head", kept, fails=1).stdout

    assert kept == chain["head"]
    assert f"rows are gone: the hash {kept}" in said


def test_an_empty_audit_has_a_head_that_is_always_there(cli, catalog):
    kept = cli("audit", "head").stdout.strip()
    cli("users", "list")

    assert kept == "0" * 64
    cli("audit", "verify", "--head", kept)
