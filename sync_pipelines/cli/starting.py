"""``up``: everything in one command, until Ctrl-C. ``demo``: the same once, and its proof."""

from collections.abc import Callable
from time import monotonic
from typing import Annotated

import typer

from sync_pipelines.catalog.history import HistoryEntry
from sync_pipelines.catalog.schedules import list_schedules
from sync_pipelines.catalog.syncs import find_tenant_id
from sync_pipelines.catalog.users import offer_first_admin
from sync_pipelines.cli.doors import AsJson, read_settings
from sync_pipelines.cli.output import tell
from sync_pipelines.cli.progress import watching
from sync_pipelines.cli.running import tell_result
from sync_pipelines.clock import system_clock
from sync_pipelines.demo import show
from sync_pipelines.model.execution import Status
from sync_pipelines.model.sync import Sync
from sync_pipelines.runtime.session import Session, open_session
from sync_pipelines.runtime.up import Endpoints, run_up
from sync_pipelines.settings import Settings
from sync_pipelines.timing.words import sentence

Port = Annotated[
    int | None,
    typer.Option("--port", min=1, max=65535, help="Port of Dagster's pages. [default: 3000]"),
]
WithDemo = Annotated[
    bool, typer.Option("--demo/--no-demo", help="Load the demo, and let its flights appear.")
]


def up(port: Port = None, demo: WithDemo = False) -> None:
    """Start everything, and stay until Ctrl-C: database, Dagster's pages, schedules, runs."""
    settings = _settings(port)

    def ready(endpoints: Endpoints) -> None:
        with open_session(_at(settings, endpoints)) as opened:
            sync = _show(opened, endpoints) if demo else None
            _welcome(opened, endpoints, sync)
            if sync is not None:
                show.keep_flying(sync, endpoints.stopping)

    run_up(settings, on_ready=ready, say=tell)


def demo(port: Port = None, as_json: AsJson = False) -> None:
    """Start everything, let the demo's sync run once through Dagster, and stop."""
    started = monotonic()
    settings = _settings(port)
    ended: list[HistoryEntry] = []

    def ready(endpoints: Endpoints) -> None:
        with open_session(_at(settings, endpoints)) as opened:
            sync = show.prepare(opened.catalog, endpoints.database_url, tell)
            ended.append(_first_sync(opened, sync))
            show.check_arrival(sync)

    run_up(settings, on_ready=ready, once=True, say=tell)
    if not ended:
        raise typer.Exit(1)
    tell_result(ended[0], seconds=monotonic() - started, as_json=as_json)
    if ended[0].execution.status is not Status.COMPLETED:
        raise typer.Exit(1)


def _settings(port: int | None) -> Settings:
    settings = read_settings()
    return settings if port is None else settings.model_copy(update={"dagster_port": port})


def _at(settings: Settings, endpoints: Endpoints) -> Settings:
    """The settings of a process that uses what `up` has started."""
    return Settings.model_validate(
        {**settings.model_dump(), "home": endpoints.home, "database_url": endpoints.database_url}
    )


def _show(opened: Session, endpoints: Endpoints) -> Sync:
    sync = show.prepare(opened.catalog, endpoints.database_url, tell)
    if not show.has_run(opened.catalog, sync):
        entry = _first_sync(opened, sync)
        if entry.execution.status is Status.COMPLETED:
            tell_result(entry, seconds=_seconds(entry), as_json=False)
        else:
            tell(f"demo: the first sync did not get through: {show.failure(entry)}")
    return sync


def _first_sync(opened: Session, sync: Sync) -> HistoryEntry:
    tell(f"demo: syncing {sync.key} for the first time, through Dagster")
    with watching() as view:
        return show.first_sync(opened.catalog, sync, lambda entry: view.show(entry.progress))


def _seconds(entry: HistoryEntry) -> float:
    return entry.duration.total_seconds() if entry.duration else 0.0


def _first_admin_link(opened: Session, endpoints: Endpoints) -> str | None:
    """Where the first user is made; None where there is one. It is said here and kept nowhere."""
    with opened.catalog.begin() as db:
        key = offer_first_admin(db, now=system_clock())
    public = opened.settings.public_url
    base = endpoints.gateway_url if public is None else str(public).rstrip("/")
    return None if key is None else f"{base}/first-admin?key={key}"


def _welcome(opened: Session, endpoints: Endpoints, sync: Sync | None) -> None:
    """Say where to look, once everything answers."""
    say: Callable[[str], None] = tell
    say("")
    say(f"  the gateway       {endpoints.gateway_url}")
    if link := _first_admin_link(opened, endpoints):
        say(f"  the first admin   {link}")
        say("                    (good once, for an hour; not to be shown to others)")
    say(f"  Dagster's pages   {endpoints.dagster_url}")
    if sync is not None:
        with opened.catalog.begin() as db:
            tenant_id = find_tenant_id(db, sync.tenant)
            schedules = list_schedules(db, sync.id, tenant_id=tenant_id)
        for schedule in schedules:
            words = sentence(schedule.cadence, schedule.timezone)
            say(f"  {sync.key:<18}{words}; a flight appears every 10 s")
        say(f"  watch it          sync-pipelines history {sync.key}")
    say(f"  logs              {endpoints.logs}")
    say("  stop              Ctrl-C")
    say("")
