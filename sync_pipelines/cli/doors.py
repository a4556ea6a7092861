"""What every command needs: settings, the catalog, and the spelling of arguments."""

import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Annotated, TypeAlias

import typer
from pydantic import ValidationError

from connectors.errors import ConfigError
from sync_pipelines.catalog.syncs import split_key
from sync_pipelines.engine.run import Engine
from sync_pipelines.runtime.session import Session, open_session
from sync_pipelines.settings import Settings


def read_settings() -> Settings:
    """The environment's settings; `ConfigError` names the variable that is wrong."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        raise ConfigError(f"{_prefixed(name)} is wrong: {first['msg']}") from None


def _prefixed(name: str) -> str:
    """A setting's variable; one that has several names is called by the one that was set."""
    return name if name.startswith(("SYNC_", "OTEL_")) else f"SYNC_{name}"


@contextmanager
def session() -> Iterator[Session]:
    """The catalog, for one command."""
    with open_session(read_settings()) as opened:
        yield opened


def engine_of(opened: Session) -> Engine:
    """The engine on a session's catalog."""
    allowed = opened.settings.allowed_transforms
    return Engine(catalog=opened.catalog, rng=Random(), transform_modules=allowed)


def actor() -> str:
    """Who gives this command, for the audit."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # a container's user may have no name
        return f"cli:{os.getuid()}"


def is_terminal() -> bool:
    """Whether somebody watches standard error."""
    return sys.stderr.isatty()


def _key(value: str) -> str:
    try:
        split_key(value)
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error
    return value


SyncKey: TypeAlias = Annotated[
    str, typer.Argument(metavar="TENANT/SYNC", callback=_key, show_default=False)
]
ConnectionKey: TypeAlias = Annotated[
    str, typer.Argument(metavar="TENANT/NAME", callback=_key, show_default=False)
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Streams: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--stream", metavar="NAME", help="Only this stream; may be repeated."),
]
Full: TypeAlias = Annotated[
    bool, typer.Option("--full", help="Read from the beginning, whatever was read before.")
]
ConfirmDeletes: TypeAlias = Annotated[
    bool,
    typer.Option("--confirm-deletes", help="Delete what is gone, however much it is; this once."),
]
