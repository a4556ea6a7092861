"""What a schedule can be asked and told on the command line."""

import csv
import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from sqlalchemy import select, text

from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.tables import AuditRow, ScheduleRow
from sync_pipelines.cli.history import COLUMNS
from sync_pipelines.engine.dispatch import claim_due
from tests.cli.conftest import EDMONTON, NIGHTLY, Cli, only
from tests.world import World

pytestmark = pytest.mark.usefixtures("catalog")


def audited(catalog: Catalog) -> list[tuple[str, str]]:
    with catalog.begin() as db:
        rows = db.execute(select(AuditRow.action, AuditRow.subject).order_by(AuditRow.id))
        return [(row[0], row[1]) for row in rows]


def test_schedules_are_listed_with_sentence_next_run_and_state(cli: Cli, world: World) -> None:
    """R10, R21, R24."""
    world.schedule(world.sync("acme/hooks"), {"type": "event", "trigger": "webhook"})

    hook, nightly = only(cli, "schedules", "list", "acme")
    table = cli("schedules", "list", "acme").stdout.splitlines()

    assert (hook["schedule"], hook["state"]) == ("acme/hooks/main", "waiting")
    assert (nightly["sentence"], nightly["state"]) == ("Daily at 02:00, Edmonton", "active")
    assert (nightly["timezone"], nightly["priority"]) == (EDMONTON, "normal")
    assert nightly["next_run_at"] is not None
    assert table[0].split("  ")[0] == "schedule"
    assert table[2].startswith("orders/nightly  Daily at 02:00, Edmonton")


def test_an_adaptive_schedule_shows_what_it_has_learned_and_why(
    cli: Cli, world: World, catalog: Catalog
) -> None:
    """R15, R16."""
    world.schedule(world.sync("acme/a"), {"type": "adaptive", "least": "15m", "most": "6h"})
    learned = {"minutes": 30, "since": "2026-03-02T12:00:00+00:00", "reason": "9 of 10 found some."}
    with catalog.begin() as db:
        db.execute(
            text("UPDATE sync.sync_schedules SET learned = CAST(:it AS jsonb) WHERE name = 'main'"),
            {"it": json.dumps(learned)},
        )

    one = only(cli, "schedules", "list", "acme")[0]

    assert one["learned"] == learned
    assert (
        "since 2026-03-02 12:00 UTC: 9 of 10 found some." in cli("schedules", "list", "acme").stdout
    )


def test_pausing_and_resuming_a_schedule_is_told_audited_and_done_once(
    cli: Cli, world: World, catalog: Catalog
) -> None:
    """R25, R29, R133."""
    paused = cli("schedules", "pause", NIGHTLY, "--reason", "stocktaking").stdout
    again = cli("schedules", "pause", NIGHTLY, "--reason", "other").stdout
    listed = only(cli, "schedules", "list", "acme")[0]
    resumed = cli("schedules", "resume", NIGHTLY).stdout
    twice = cli("schedules", "resume", NIGHTLY).stdout

    assert paused == f"{NIGHTLY} is paused: stocktaking\n"
    assert again == f"{NIGHTLY} is paused already; nothing was changed: paused: stocktaking\n"
    assert (listed["state"], listed["reason"]) == ("paused", "paused: stocktaking")
    assert listed["next_run_at"] is None
    assert resumed.startswith(f"{NIGHTLY} is resumed; next run ")
    assert twice == f"{NIGHTLY} is not paused; nothing was changed\n"
    assert audited(catalog) == [("schedule.paused", NIGHTLY), ("schedule.resumed", NIGHTLY)]


def test_a_pause_with_an_end_goes_on_by_itself_and_may_not_end_before_now(
    cli: Cli, world: World
) -> None:
    until = (datetime.now(UTC) + timedelta(days=30)).strftime("%Y-%m-%dT12:00")

    shown = only(cli, "schedules", "pause", NIGHTLY, "--reason", "x", "--until", until)
    cli("schedules", "resume", NIGHTLY)
    past = cli(
        *("schedules", "pause", NIGHTLY, "--reason", "x", "--until", "2020-01-01T00:00"), fails=1
    )

    assert shown["changed"] is True
    assert shown["reason"] == f"paused until {until.replace('T', ' ')}: x"
    assert shown["next_run_at"] > until
    assert "has passed already" in past.stderr


def test_a_schedule_is_deleted_after_a_yes_and_its_history_stays(
    cli: Cli, world: World, catalog: Catalog
) -> None:
    """R23."""
    asked = cli("schedules", "delete", NIGHTLY, fails=1)
    deleted = cli("schedules", "delete", NIGHTLY, "--yes")

    assert f"Remove {NIGHTLY} (Daily at 02:00, Edmonton)?" in asked.stderr
    assert deleted.stdout.startswith(f"{NIGHTLY} is removed")
    assert audited(catalog) == [("schedule.deleted", NIGHTLY)]
    with catalog.begin() as db:
        assert db.execute(select(ScheduleRow.id)).all() == []
        assert db.scalar(text("SELECT sum(count) FROM sync.sync_decisions")) == 2


def test_a_sync_is_paused_and_resumed_with_all_its_schedules(
    cli: Cli, world: World, catalog: Catalog
) -> None:
    """R25."""
    paused = cli("syncs", "pause", "acme/orders", "--reason", "moving house").stdout
    again = cli("syncs", "pause", "acme/orders", "--reason", "other").stdout
    (sync,) = only(cli, "syncs", "list", "acme")
    (schedule,) = only(cli, "schedules", "list", "acme")
    own = cli("schedules", "resume", NIGHTLY).stdout
    resumed = cli("syncs", "resume", "acme/orders").stdout
    twice = cli("syncs", "resume", "acme/orders").stdout

    assert paused == "acme/orders is paused: moving house\n"
    assert again == "acme/orders is paused already; nothing was changed: moving house\n"
    assert (sync["is_active"], sync["pause_reason"]) == (False, "moving house")
    assert schedule["reason"] == "paused: moving house"
    assert "sync-pipelines syncs resume acme/orders" in own
    assert resumed == "acme/orders is resumed\n"
    assert twice == "acme/orders is not paused; nothing was changed\n"
    assert audited(catalog) == [("sync.paused", "acme/orders"), ("sync.resumed", "acme/orders")]


def test_a_time_without_an_offset_is_the_schedules_own(cli: Cli, world: World) -> None:
    day = f"{datetime.now(UTC) + timedelta(days=3):%Y-%m-%d}"

    local = only(cli, "schedules", "explain", "acme/orders", "--at", f"{day}T02:00")
    utc = only(cli, "schedules", "explain", NIGHTLY, "--at", f"{day}T02:00Z")
    shown = cli("schedules", "explain", "acme/orders", "--at", f"{day}T02:00").stdout

    assert local["schedules"][0]["verdict"] == "will_run"
    assert utc["schedules"][0]["verdict"] == "not_expected"
    assert shown.startswith(f"{NIGHTLY}: It will run at {day} 02:00 (Edmonton; ")
    assert "\n  before  " in shown


def test_a_pause_given_here_is_explained_with_its_author(cli: Cli, world: World) -> None:
    """R133."""
    cli("schedules", "pause", NIGHTLY, "--reason", "stocktaking")
    day = f"{datetime.now(UTC) + timedelta(days=3):%Y-%m-%d}"

    shown = cli("schedules", "explain", NIGHTLY, "--at", f"{day}T02:00").stdout

    assert "It will not run at" in shown
    assert "paused: stocktaking, by cli:" in shown


def test_a_sync_without_schedules_says_so(cli: Cli, shop: Path) -> None:
    cli("schedules", "delete", NIGHTLY, "--yes")

    shown = cli("schedules", "explain", "acme/orders", "--at", "now").stdout

    assert shown == "acme/orders has no schedule: it runs only when somebody triggers it.\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("schedules", "explain", "acme/orders", "--at", "yesterday"),
        ("schedules", "explain", "acme", "--at", "now"),
        ("schedules", "preview"),
        ("schedules", "preview", NIGHTLY, "--sync", "acme/orders"),
        ("schedules", "pause", "acme/orders", "--reason", "x"),
        ("schedules", "pause", NIGHTLY),
        ("schedules", "simulate", "acme", "--csv", "--heat"),
    ],
)
def test_bad_usage_is_exit_code_2(cli: Cli, arguments: tuple[str, ...]) -> None:
    failed = cli(*arguments, fails=2)

    assert failed.stdout == ""
    assert failed.stderr


def test_a_year_is_simulated_with_both_clock_changes_as_csv_and_json(
    cli: Cli, world: World
) -> None:
    """R12, R14."""
    options = ("--schedule", "orders/nightly", "--from", "2026-01-01T00:00")

    rows = list(
        csv.DictReader(StringIO(cli("schedules", "simulate", "acme", *options, "--csv").stdout))
    )
    whole = only(cli, "schedules", "simulate", "acme", *options)
    short = cli("schedules", "simulate", "acme", *options).stdout

    assert len(rows) == len(whole["firings"]) == 365
    (gap,) = (row for row in rows if "does not exist" in row["note"])
    assert gap["local"] == "2026-03-08T03:00:00-06:00"
    assert (gap["outcome"], gap["ended_at"]) == ("run", "2026-03-08T09:01:00+00:00")
    assert whole["outcomes"] == {"run": 365}
    assert whole["durations"] == [{"schedule": NIGHTLY, "seconds": 60.0, "measured": 0}]
    assert "… and 345 more" in short
    assert "assumed, none has got through yet" in short


def test_the_heat_of_a_week_is_drawn_and_told_with_a_schedule_and_without(
    cli: Cli, world: World
) -> None:
    options = ("schedules", "simulate", "acme", "--heat", "--schedule", "orders/nightly")

    shown = only(cli, *options, "--from", "2026-01-05T00:00", "--days", "28")
    drawn = cli(*options, "--from", "2026-01-05T00:00", "--days", "28").stdout.splitlines()

    assert shown["with"]["mon"][2] == {"hour": 2, "starts": 4, "busy_seconds": 240.0}
    assert shown["without"]["mon"][2]["starts"] == 0
    assert drawn[0] == "all schedules: 7.0 starts a week (Edmonton)"
    assert drawn[2] == "Mon      ██"


def test_history_shows_what_did_not_run_between_the_executions(
    cli: Cli, world: World, catalog: Catalog
) -> None:
    """R106, R94."""
    world.schedule(world.sync("acme/live"), {"type": "every", "minutes": 15})
    for _ in range(5):
        claim_due(catalog, "database", world.clock(), tick=str(world.clock()))
        world.clock.advance(minutes=15)

    skipped, ran = only(cli, "history", "acme/live")
    runs = only(cli, "history", "acme/live", "--runs-only")
    table = cli("history", "acme/live").stdout.splitlines()

    assert (skipped["kind"], ran["kind"]) == ("decision", "execution")
    assert (skipped["outcome"], skipped["cause"], skipped["count"]) == ("skipped", "overlap", 3)
    assert skipped["reason"] == "overlap: the execution before it had not ended"
    assert [entry["execution"] for entry in runs] == [ran["execution"]]
    assert table[0].split("  ")[0] == COLUMNS[0]
    assert "skipped ×3" in table[1]  # noqa: RUF001 - as it is shown
    assert "pending" in table[2] or "queued" in table[2]
