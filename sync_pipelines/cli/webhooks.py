"""``webhooks``: the URLs at which providers say that something changed."""

import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, TypeAlias

import typer

from connectors.contract import Json
from connectors.errors import ConfigError
from connectors.webhooks.schemes import SCHEMES
from sync_pipelines.catalog import endpoints
from sync_pipelines.cli.doors import AsJson, actor, session
from sync_pipelines.cli.output import json_time, print_json, print_line, print_table, shown_time
from sync_pipelines.cli.times import instant
from sync_pipelines.clock import system_clock
from sync_pipelines.engine import webhooks
from sync_pipelines.engine.replaying import replay as replay_events
from sync_pipelines.engine.replaying import replay_into
from sync_pipelines.engine.reviving import revive as revive_at_provider
from sync_pipelines.engine.webhooks import OVERLAP, Made
from sync_pipelines.model.endpoint import Endpoint

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="URLs at which providers say that something changed.",
)

COLUMNS = ("name", "scheme", "connection", "on", "received", "refused", "last (UTC)", "path")

Tenant: TypeAlias = Annotated[str, typer.Argument(metavar="TENANT", show_default=False)]
Name: TypeAlias = Annotated[str, typer.Argument(metavar="NAME", show_default=False)]
SecretFrom: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--secret-env",
        metavar="VARIABLE",
        help="The environment variable that holds the secret; one is made up if left out.",
    ),
]


def _time(written: str | None) -> str | None:
    if written is not None:
        try:
            instant(written, "UTC")
        except ValueError as error:
            raise typer.BadParameter(
                f"{written!r} is not a time; write it as 2026-03-08T02:00Z, or now"
            ) from error
    return written


@app.command()
def create(
    tenant: Tenant,
    name: Name,
    scheme: Annotated[
        str,
        typer.Option("--scheme", metavar="NAME", help=f"One of {', '.join(SCHEMES)}."),
    ],
    connection: Annotated[
        str | None,
        typer.Option(
            "--connection", metavar="NAME", help="The connection of the system that sends."
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="NAME=VALUE", help="Of the scheme; may be repeated."),
    ] = None,
    secret_env: SecretFrom = None,
    silence_after: Annotated[
        int | None,
        typer.Option(
            "--silence-after", metavar="MINUTES", min=1, help="Without a webhook an alarm is due."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make an endpoint, and show its path and, this once, the secret that was made up."""
    with session() as opened:
        made = webhooks.create(
            opened.catalog,
            tenant=tenant,
            name=name,
            scheme=scheme,
            options=_options(option or []),
            connection=connection,
            secret=_secret(secret_env),
            silence_after=None if silence_after is None else timedelta(minutes=silence_after),
            actor=actor(),
            now=system_clock(),
        )
    _show_made(made, as_json)


@app.command("list")
def list_(tenant: Tenant, as_json: AsJson = False) -> None:
    """A tenant's endpoints, and how each fares."""
    with session() as opened, opened.catalog.begin() as db:
        found = endpoints.list_endpoints(db, opened.catalog.secrets, tenant=tenant)
    if as_json:
        print_json([_json(one) for one in found])
        return
    empty = f"{tenant} has no webhook endpoints; `sync-pipelines webhooks create` makes one"
    print_table(COLUMNS, [_row(one) for one in found], empty=empty)


@app.command()
def show(tenant: Tenant, name: Name, as_json: AsJson = False) -> None:
    """One endpoint with everything but its secret."""
    with session() as opened, opened.catalog.begin() as db:
        found = endpoints.find(db, opened.catalog.secrets, name, tenant=tenant)
    if as_json:
        print_json(_json(found))
        return
    for label, value in _json(found).items():
        print_line(f"{label.replace('_', ' ')}: {'' if value is None else value}")


@app.command()
def rotate(
    tenant: Tenant,
    name: Name,
    secret_env: SecretFrom = None,
    overlap: Annotated[
        int, typer.Option("--overlap", metavar="MINUTES", min=0, help="The old one stays good.")
    ] = int(OVERLAP / timedelta(minutes=1)),
    as_json: AsJson = False,
) -> None:
    """Give an endpoint a new secret; the old one stays good for a while beside it."""
    with session() as opened:
        made = webhooks.rotate(
            opened.catalog,
            name,
            tenant=tenant,
            secret=_secret(secret_env),
            overlap=timedelta(minutes=overlap),
            actor=actor(),
            now=system_clock(),
        )
    _show_made(made, as_json)


@app.command()
def remove(tenant: Tenant, name: Name) -> None:
    """Remove an endpoint with the requests that are kept of it; its events stay."""
    with session() as opened:
        webhooks.remove(opened.catalog, name, tenant=tenant, actor=actor(), now=system_clock())
    print_line(f"webhook endpoint {tenant}/{name} is removed; its URL is not found from now on")


@app.command()
def on(
    tenant: Tenant, name: Annotated[str | None, typer.Argument(metavar="[NAME]")] = None
) -> None:
    """Let an endpoint's webhooks count again, or without a name all of the tenant's."""
    _switch(tenant, name, is_on=True)


@app.command()
def off(
    tenant: Tenant, name: Annotated[str | None, typer.Argument(metavar="[NAME]")] = None
) -> None:
    """Answer webhooks but drop them, an endpoint's or all of the tenant's: schedules go on."""
    _switch(tenant, name, is_on=False)


@app.command()
def revive(tenant: Tenant, name: Name) -> None:
    """Switch on again, by the provider's API, what the provider has switched off."""
    with session() as opened:
        with opened.catalog.begin() as db:
            found = endpoints.find(db, opened.catalog.secrets, name, tenant=tenant)
        off = revive_at_provider(opened.catalog, found, now=system_clock(), actor=actor())
    for one in off:
        print_line(f"webhook {one.id} ({one.topic}) was switched off, and is on again")
    if not off:
        print_line(f"the provider has switched off no webhook to {found.label}")


@app.command()
def replay(
    tenant: Tenant,
    name: Name,
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", callback=_time, help="From then on.")
    ],
    until: Annotated[
        str, typer.Option("--until", metavar="TIME", callback=_time, help="To before then.")
    ] = "now",
    into: Annotated[
        str | None,
        typer.Option(
            "--into", metavar="DATASET", help="Run the syncs it concerns into this dataset instead."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take in again what came in a time, in the order it came; all times are UTC."""
    with session() as opened:
        catalog, now = opened.catalog, system_clock()
        with catalog.begin() as db:
            found = endpoints.find(db, catalog.secrets, name, tenant=tenant)
        first, last = instant(since, "UTC"), instant(until, "UTC")
        if into is None:
            done = replay_events(catalog, found, since=first, until=last, actor=actor(), now=now)
        else:
            done = replay_into(
                catalog, found, into, since=first, until=last, actor=actor(), now=now
            )
    if as_json:
        print_json(
            {
                "deliveries": done.deliveries,
                "events": done.events,
                "unreadable": done.unreadable,
                "executions": [str(one) for one in done.executions],
            }
        )
        return
    print_line(
        f"{done.deliveries} webhooks with {done.events} events, {done.unreadable} unreadable"
    )
    if into is None:
        print_line("their events wait; a running `sync-pipelines up` takes them up within 5 s")
    else:
        print_line(f"{len(done.executions)} syncs run into dataset {into}")


def _switch(tenant: str, name: str | None, *, is_on: bool) -> None:
    with session() as opened:
        now = system_clock()
        if name is None:
            webhooks.switch_tenant(
                opened.catalog, tenant=tenant, is_on=is_on, actor=actor(), now=now
            )
        else:
            webhooks.switch(
                opened.catalog, name, tenant=tenant, is_on=is_on, actor=actor(), now=now
            )
    which = f"webhook endpoint {tenant}/{name} is" if name else f"all webhooks of {tenant} are"
    print_line(f"{which} {'on' if is_on else 'off'}")


def _options(written: Sequence[str]) -> Mapping[str, object]:
    options = {}
    for one in written:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise ConfigError(f"--option {one!r} should be NAME=VALUE, for example header=x-token")
        options[name] = value
    return options


def _secret(variable: str | None) -> str | None:
    if variable is None:
        return None
    value = os.environ.get(variable)
    if not value:
        raise ConfigError(f"the environment has no {variable}; --secret-env names what holds it")
    return value


def _show_made(made: Made, as_json: bool) -> None:
    if as_json:
        print_json({**_json(made.endpoint), "secret": made.secret})
        return
    print_line(f"path: {_path(made.endpoint)}")
    if made.secret is not None:
        print_line(f"secret: {made.secret}")
        print_line("give both to the provider; the secret is not shown again")


def _path(endpoint: Endpoint) -> str:
    return f"/webhooks/{endpoint.key}"


def _row(endpoint: Endpoint) -> tuple[str, ...]:
    health = endpoint.health
    return (
        endpoint.name,
        endpoint.scheme,
        endpoint.connection or "",
        "yes" if endpoint.is_on else "no",
        str(health.received),
        str(health.refused),
        shown_time(health.last_received_at),
        _path(endpoint),
    )


def _json(endpoint: Endpoint) -> dict[str, Json]:
    health, silence = endpoint.health, endpoint.silence_after
    return {
        "name": endpoint.name,
        "path": _path(endpoint),
        "scheme": endpoint.scheme,
        "options": dict(endpoint.config),
        "connection": endpoint.connection,
        "on": endpoint.is_on,
        "secrets": len(endpoint.secrets_at(system_clock())),
        "silence_after_minutes": None if silence is None else silence // timedelta(minutes=1),
        "received": health.received,
        "refused": health.refused,
        "refused_in_a_row": health.streak,
        "failure_rate": round(health.failure_rate, 4),
        "last_received_at": json_time(health.last_received_at),
        "last_refused_at": json_time(health.last_refused_at),
        "last_refusal": health.last_refusal,
        "created_at": json_time(endpoint.created_at),
    }
