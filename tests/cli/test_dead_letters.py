"""What the commands about dead letters print and change."""

import json
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest
from sqlalchemy import text

from sync_pipelines.catalog import dead_letters, syncs
from sync_pipelines.catalog.dead_letters import Which
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.clock import system_clock
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.engine.run import Engine
from sync_pipelines.model.dead_letter import DeadLetter, LetterStatus
from sync_pipelines.model.execution import Request
from tests.cli.conftest import Cli


def fail(catalog: Catalog, *, full: bool = False) -> DeadLetter:
    """The letter of an execution of acme/orders whose stream is not there."""
    with catalog.begin() as db:
        sync = syncs.find_sync(db, catalog.secrets, "acme/orders")
    request = Request(streams=("countries",), full=full)
    engine = Engine(catalog=catalog, rng=Random(1))
    execution_id = trigger(catalog, sync, now=system_clock(), request=request, queued=True)
    engine.run(execution_id, attempt=1, run_id=None)
    return next(one for one in held(catalog) if one.execution_id == execution_id)


def held(catalog: Catalog) -> list[DeadLetter]:
    with catalog.begin() as db:
        return dead_letters.list_letters_for_all_tenants(db, Which())


def audited(catalog: Catalog) -> list[tuple[str, str, dict[str, object]]]:
    query = text(
        "SELECT actor, action, after FROM sync.audit_log WHERE subject = 'dead letters' ORDER BY id"
    )
    with catalog.begin() as db:
        return [tuple(row) for row in db.execute(query)]  # type: ignore[misc]


@pytest.fixture
def letter(catalog: Catalog, shop: Path) -> DeadLetter:
    shop.unlink()
    return fail(catalog)


def test_letters_are_listed_with_what_they_died_of(cli: Cli, letter: DeadLetter) -> None:
    listed = json.loads(cli("dead-letters", "list", "acme", "--json").stdout)
    table = cli("dead-letters", "list").stdout.splitlines()

    (one,) = listed
    assert (one["letter"], one["sync"]) == (str(letter.id), "acme/orders")
    assert (one["status"], one["cause"]) == ("open", "config")
    assert one["payload"]["request"] == {"streams": ["countries"]}
    assert table[0].split()[:3] == ["at", "(UTC)", "letter"]
    assert str(letter.id) in table[1]
    assert letter.reason[:20] in table[1]


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (("--cause", "config"), 1),
        (("--cause", "auth"), 0),
        (("--sync", "orders"), 1),
        (("--sync", "refunds"), 0),
        (("--status", "open"), 1),
        (("--status", "discarded"), 0),
    ],
)
def test_a_list_may_be_narrowed(
    cli: Cli, letter: DeadLetter, options: tuple[str, ...], count: int
) -> None:
    for tenant in ([], ["acme"]):
        listed = json.loads(cli("dead-letters", "list", *tenant, *options, "--json").stdout)

        assert len(listed) == count


def test_no_letters_are_said_to_be_none(cli: Cli, shop: Path) -> None:
    found = cli("dead-letters", "list", "acme")

    assert (found.stdout, found.stderr) == ("", "no dead letters\n")
    assert "no tenant 'acne'" in cli("dead-letters", "list", "acne", fails=1).stderr


def test_a_letter_is_shown_whole(cli: Cli, letter: DeadLetter) -> None:
    shown = cli("dead-letters", "show", str(letter.id)).stdout

    assert f"execution: {letter.execution_id}" in shown
    assert '"attempts"' in shown
    assert json.loads(cli("dead-letters", "show", str(letter.id), "--json").stdout)["kind"] == (
        "execution"
    )


def test_a_letter_that_is_not_there_is_one_clear_line(cli: Cli, letter: DeadLetter) -> None:
    nobody = str(uuid4())

    for command in (["show"], ["redrive"], ["discard", "--reason", "x"]):
        failed = cli("dead-letters", *command, nobody, fails=1)

        assert failed.stderr.startswith(f"error: no dead letter '{nobody}'; ")
    assert "should be a valid UUID" in cli("dead-letters", "show", "first", fails=2).stderr


def test_a_letter_is_redriven_once_and_the_audit_tells_by_whom(
    cli: Cli, catalog: Catalog, letter: DeadLetter
) -> None:
    """R90."""
    done = json.loads(cli("dead-letters", "redrive", str(letter.id), "--json").stdout)
    again = cli("dead-letters", "redrive", str(letter.id), fails=1)

    (after,) = held(catalog)
    ((actor, action, said),) = audited(catalog)
    assert done["letters"] == [str(letter.id)]
    assert done["executions"] == [str(after.redriven_as)]
    assert after.status is LetterStatus.REDRIVEN
    assert again.stdout == "0 letters redriven: 0 executions, 0 events\n"
    assert again.stderr == f"letter {letter.id} is redriven, and stays so\n"
    assert actor.startswith("cli:")
    assert action == "dead_letters.redriven"
    assert said == {**done, "events": 0}


def test_all_letters_of_a_cause_are_redriven_together(
    cli: Cli, catalog: Catalog, letter: DeadLetter
) -> None:
    """R90: redrive many, or all of a cause; alike ones become one execution."""
    fail(catalog)
    fail(catalog, full=True)

    none = cli("dead-letters", "redrive", "--all", "acme", "--cause", "auth")
    elsewhere = cli("dead-letters", "redrive", "--all", "acme", "--sync", "refunds")
    done = cli("dead-letters", "redrive", "--all", "acme", "--cause", "config", "--sync", "orders")

    assert none.stdout == elsewhere.stdout == "0 letters redriven: 0 executions, 0 events\n"
    assert done.stdout == "3 letters redriven: 2 executions, 0 events\n"
    assert {one.status for one in held(catalog)} == {LetterStatus.REDRIVEN}
    assert len(audited(catalog)) == 1


@pytest.mark.parametrize(
    "arguments",
    [(), ("--cause", "config"), ("ID", "--all", "acme"), ("ID", "--cause", "config")],
)
def test_what_to_redrive_is_said_in_one_way(
    cli: Cli, catalog: Catalog, letter: DeadLetter, arguments: tuple[str, ...]
) -> None:
    named = [str(letter.id) if word == "ID" else word for word in arguments]

    cli("dead-letters", "redrive", *named, fails=2)

    assert [one.status for one in held(catalog)] == [LetterStatus.OPEN]


def test_a_letter_is_discarded_with_a_reason_that_the_audit_keeps(
    cli: Cli, catalog: Catalog, letter: DeadLetter
) -> None:
    second = fail(catalog)

    cli("dead-letters", "discard", str(letter.id), fails=2)
    done = cli(
        "dead-letters", "discard", str(letter.id), str(second.id), "--reason", "the shop is closed"
    )

    ((_, action, said),) = audited(catalog)
    assert done.stdout == "2 letters discarded\n"
    assert {one.status for one in held(catalog)} == {LetterStatus.DISCARDED}
    assert action == "dead_letters.discarded"
    assert said == {
        "letters": sorted([str(letter.id), str(second.id)]),
        "reason": "the shop is closed",
    }
