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
from tests.cli.conftest import Cli
from tests.world import FakeClock, World

pytestmark = pytest.mark.usefixtures("catalog")

NIGHTLY = "acme/orders/nightly"
EDMONTON = "America/Edmonton"


@pytest.fixture
def world(catalog: Catalog) -> World:
    """A tenant whose sync runs nightly in Edmonton; its schedule is two days old."""
    made = World(catalog, FakeClock(datetime.now(UTC) - timedelta(days=2)))
    made.schedule(made.sync(), {"type": "daily"}, name="nightly", timezone=EDMONTON)
    return made


def audited(catalog: Catalog) -> list[tuple[str, str]]:
    with catalog.begin() as db:
        rows = db.execute(select(AuditRow.action, AuditRow.subject).order_by(AuditRow.id))
        return [(row[0], row[1]) for row in rows]


def only(cli: Cli, *arguments: str):
    return json.loads(cli(*arguments, "--json").stdout)


# --- list and preview ----------------------------------------------------------------


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


def test_a_preview_before_saving_reads_the_cron_that_is_taken_for_every_15_minutes(
    cli: Cli,
) -> None:
    """R9 to R13, trap T3: the sentence tells what it does, not what was meant."""
    cadence = '{type: cron, cron: "0 */15 * * *"}'

    shown = cli(
        *("schedules", "preview", "--cadence", cadence, "--timezone", EDMONTON),
        *("--from", "2026-01-05T12:00"),
    ).stdout.splitlines()

    assert shown[0] == "Daily at 00:00 and 15:00, Edmonton"
    assert [line.split("  ")[0] for line in shown[2:7]] == [
        "2026-01-05 15:00 MST",
        "2026-01-06 00:00 MST",
        "2026-01-06 15:00 MST",
        "2026-01-07 00:00 MST",
        "2026-01-07 15:00 MST",
    ]


def test_a_preview_marks_the_day_of_a_clock_change_and_what_is_skipped(cli: Cli) -> None:
    """R12, R14, trap T2."""
    shown = only(
        cli,
        *("schedules", "preview", "--cadence", "{type: daily}", "--timezone", EDMONTON),
        *("--policies", '{blackouts: [{from: "2026-03-10"}]}', "--from", "2026-03-07T12:00"),
    )

    assert shown["sentence"] == "Daily at 02:00, Edmonton"
    assert [one["local"][:16] for one in shown["next"]][:3] == [
        "2026-03-08T03:00",
        "2026-03-09T02:00",
        "2026-03-10T02:00",
    ]
    assert shown["next"][0]["note"].startswith("02:00 does not exist on 2026-03-08")
    assert (shown["next"][2]["runs"], shown["next"][2]["reason"]) == (False, "blackout: 2026-03-10")
    assert sum(one["runs"] for one in shown["next"]) == 5


@pytest.mark.parametrize(
    ("arguments", "field", "said"),
    [
        (("--cadence", "{type: dayly}"), "type", "type 'dayly' is not known"),
        (("--cadence", "{type: daily, at: '25:00'}"), "at", "at '25:00' is not a time of day"),
        (("--cadence", "{type: daily"), "cadence", "is not YAML"),
        (
            ("--cadence", "{type: daily}", "--timezone", "America/Edmontn"),
            "timezone",
            "try 'America/Edmonton'",
        ),
        (("--cadence", "{type: daily}", "--policies", "{overlap: never}"), "overlap", "overlap"),
    ],
)
def test_a_preview_of_what_cannot_be_saved_names_the_field(
    cli: Cli, arguments: tuple[str, ...], field: str, said: str
) -> None:
    """R11, R32."""
    failed = cli("schedules", "preview", *arguments, "--json", fails=1)

    shown = json.loads(failed.stdout)
    assert (shown["valid"], shown["field"]) == (False, field)
    assert said in shown["error"]
    assert failed.stderr == f"error: {shown['error']}\n"


def test_a_saved_schedule_is_previewed_by_its_key(cli: Cli, world: World) -> None:
    shown = only(cli, "schedules", "preview", NIGHTLY)

    assert shown["schedule"] == NIGHTLY
    assert [one["runs"] for one in shown["next"]] == [True] * 5


PREVIEW = ("schedules", "preview", "--from", "2026-01-05T00:00")
AT_TWO = ("--cadence", "{type: weekly, days: [mon], at: '02:00'}", "--timezone", EDMONTON)


def test_a_preview_before_saving_tells_the_load_that_it_adds_to_its_tenant(
    cli: Cli, world: World
) -> None:
    """R11, R12: the hour that both share has the work of both, and without it that of one."""
    world.sync("acme/people")

    load = only(cli, *PREVIEW, *AT_TWO, "--sync", "acme/people")["load"]
    told = cli(*PREVIEW, *AT_TWO, "--sync", "acme/people").stdout.splitlines()[-2:]

    assert (load["tenant"], load["seconds_each"], load["measured"]) == ("acme", 60.0, 0)
    assert load["adds"] == {"starts": 1.0, "busy_seconds": 60.0}
    assert load["busiest"] == {
        "day": "mon",
        "hour": 2,
        "with_seconds": 120.0,
        "without_seconds": 60.0,
    }
    assert load["with"]["mon"][2] == {"hour": 2, "starts": 8, "busy_seconds": 480.0}
    assert load["without"]["mon"][2] == {"hour": 2, "starts": 4, "busy_seconds": 240.0}
    assert told == [
        "load: it adds 1 start a week and 1 min 00 s of work (1 min 00 s each, assumed)",
        "busiest hour: Mon 02:00 to 03:00 (Edmonton), 2 min 00 s of work, 1 min 00 s without it",
    ]


def test_a_preview_says_where_a_schedule_adds_nothing_because_its_sync_is_busy_then(
    cli: Cli, world: World
) -> None:
    """One that fires whenever the other does finds its sync active, and is skipped."""
    load = only(cli, *PREVIEW, *AT_TWO, "--sync", "acme/orders")["load"]
    told = cli(*PREVIEW, *AT_TWO, "--sync", "acme/orders").stdout

    assert load["adds"] == {"starts": 0.0, "busy_seconds": 0.0}
    assert "load: no more starts than without it, in 4 weeks\n" in told


def test_the_load_of_a_preview_takes_what_executions_of_the_sync_took(
    cli: Cli, world: World, catalog: Catalog
) -> None:
    sync = world.sync("acme/people")
    with catalog.begin() as db:
        db.execute(
            text(
                "INSERT INTO sync.sync_executions (tenant_id, sync_id, trigger, status,"
                " completed_at, duration_ms) SELECT :tenant, :sync, 'manual', 'completed',"
                " now(), taken FROM unnest(ARRAY[60000, 600000, 1200000]) taken"
            ),
            {"tenant": sync.tenant_id, "sync": sync.id},
        )

    load = only(cli, *PREVIEW, *AT_TWO, "--sync", "acme/people")["load"]

    assert (load["seconds_each"], load["measured"]) == (600.0, 3)
    assert load["adds"]["busy_seconds"] == 600.0


def test_a_preview_without_its_sync_tells_its_own_load_and_how_to_see_the_tenants(
    cli: Cli,
) -> None:
    daily = only(cli, *PREVIEW, "--cadence", "{type: daily}")["load"]
    told = cli(*PREVIEW, "--cadence", "{type: daily}").stdout
    event = only(cli, *PREVIEW, "--cadence", "{type: event, trigger: webhook}")

    assert (daily["tenant"], daily["adds"]["starts"]) == (None, 7.0)
    assert "--sync TENANT/SYNC shows it among the tenant's others" in told
    assert event["load"] is None


def test_a_saved_schedule_is_previewed_with_the_load_that_is_its_own(
    cli: Cli, world: World
) -> None:
    world.schedule(world.sync("acme/people"), {"type": "hourly", "minute": 30})

    load = only(cli, *PREVIEW, NIGHTLY)["load"]

    assert load["adds"] == {"starts": 7.0, "busy_seconds": 420.0}
    assert load["busiest"]["hour"] == 2
    assert load["without"]["mon"][2]["starts"] == 4


def test_a_preview_draws_the_week_on_a_terminal(
    cli: Cli, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sync("acme/people")
    monkeypatch.setattr("sync_pipelines.cli.loading.is_watched", lambda: True)

    drawn = cli(*PREVIEW, *AT_TWO, "--sync", "acme/people").stdout.splitlines()

    assert drawn[-9].startswith("     0     3     6")
    assert drawn[-8] == "Mon      ██"
    assert drawn[-7] == "Tue      ▒▒"
    assert drawn[-1].endswith("█ 2 min 00 s of work in that hour of a mean week")


# --- pause, resume, delete -----------------------------------------------------------


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


# --- explain, simulate, history ------------------------------------------------------


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
