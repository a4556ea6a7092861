"""What a preview of a schedule tells: its times, its faults, its load and its week."""

import json

import pytest
from sqlalchemy import text

from sync_pipelines.catalog.store import Catalog
from tests.cli.conftest import EDMONTON, NIGHTLY, Cli, only
from tests.world import World

pytestmark = pytest.mark.usefixtures("catalog")


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
