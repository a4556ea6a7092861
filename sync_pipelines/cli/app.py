"""All commands together, and how any of them fails: one clear line, and an exit code."""

import logging
import signal
from types import FrameType
from typing import Annotated, Any

import typer
from sqlalchemy.exc import OperationalError
from typer.core import TyperGroup

from connectors.errors import ConnectorError
from sync_pipelines.apply.problems import ManifestError
from sync_pipelines.cli import (
    applying,
    auditing,
    conflicts,
    connections,
    dead_letters,
    events,
    history,
    housekeeping,
    incidents,
    notifications,
    rejected,
    reloading,
    running,
    secrets,
    serving,
    starting,
    status,
    tenants,
    tokens,
    users,
    webhooks,
)
from sync_pipelines.cli import connectors as connector_commands
from sync_pipelines.cli import schedules as schedule_commands
from sync_pipelines.cli import syncs as sync_commands
from sync_pipelines.cli.output import tell
from sync_pipelines.engine.run import NotStartedError
from sync_pipelines.logs import configure_logging
from sync_pipelines.model.cadence import CadenceError
from sync_pipelines.runtime.errors import StartError
from sync_pipelines.runtime.foreground import BusyError

EXPECTED = (ConnectorError, CadenceError, StartError, BusyError, NotStartedError, OperationalError)
"""What is said in a line. Anything else is our own bug, and is shown whole."""


class Commands(TyperGroup):
    """A group whose commands fail in one line."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; an expected error becomes its message and exit code 1."""
        try:
            return super().invoke(ctx)
        except EXPECTED as error:
            tell(_said(error))
            raise typer.Exit(1) from error


def _said(error: Exception) -> str:
    if isinstance(error, ManifestError):
        return str(error)
    if isinstance(error, OperationalError):
        return f"error: the catalog does not answer: {str(error.orig).strip()}"
    return f"error: {error}"


app = typer.Typer(
    name="sync-pipelines",
    cls=Commands,
    help="Keeps datasets up to date: connects systems, and moves what changed, when it is due.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # a usage error stays one line, in a pipe too
    pretty_exceptions_enable=False,
)
app.command()(starting.up)
app.command()(starting.demo)
app.command()(reloading.reload)
app.command()(serving.serve)
app.command()(applying.apply)
app.add_typer(connector_commands.app, name="connectors")
app.add_typer(connections.app, name="connections")
app.add_typer(sync_commands.app, name="syncs")
app.add_typer(schedule_commands.app, name="schedules")
app.command()(running.trigger)
app.command()(running.run)
app.command()(history.history)
app.command()(status.status)
app.command()(incidents.incidents)
app.command()(conflicts.conflicts)
app.add_typer(notifications.app, name="notifications")
app.add_typer(tenants.app, name="tenants")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(rejected.app, name="rejected")
app.add_typer(events.app, name="events")
app.add_typer(webhooks.app, name="webhooks")
app.command()(housekeeping.housekeeping)
app.add_typer(secrets.app, name="secrets")
app.add_typer(users.app, name="users")
app.add_typer(tokens.app, name="tokens")
app.add_typer(auditing.app, name="audit")


@app.callback()
def options(
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the log, on standard error.")
    ] = False,
) -> None:
    """Keeps datasets up to date: connects systems, and moves what changed, when it is due."""
    configure_logging(level=logging.INFO if verbose else logging.CRITICAL)


def main() -> None:
    """The console script."""
    signal.signal(signal.SIGTERM, _interrupt)
    app()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """SIGTERM ends a command as Ctrl-C does: cleanly."""
    raise KeyboardInterrupt
