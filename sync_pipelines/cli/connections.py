"""``connections``: whether one works, what there is at its other end, and who may reach it."""

import secrets
import webbrowser
from contextlib import closing
from typing import Annotated

import typer

from connectors import registry
from connectors.contract import Json, Stream
from connectors.cursors import cursor_candidates
from connectors.http.oauth import Pkce
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.syncs import find_connection
from sync_pipelines.cli.consent import Waiting
from sync_pipelines.cli.doors import AsJson, ConnectionKey, actor, session
from sync_pipelines.cli.output import print_json, print_line, print_table, tell
from sync_pipelines.clock import system_clock
from sync_pipelines.engine.authorizing import Asked, app_of, granted
from sync_pipelines.engine.surroundings import open_destination, open_source
from sync_pipelines.model.sync import Connection

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Connections that tenants have configured."
)


@app.command()
def check(name: ConnectionKey, as_json: AsJson = False) -> None:
    """Connect in every role the connector can play, and say to what."""
    with session() as opened:
        connection = _found(opened.catalog, name)
        connector = registry.get(connection.connector)
        found: dict[str, Json] = {}
        if connector.source is not None:
            with closing(open_source(opened.catalog, connection)) as source:
                found["source"] = source.check()
        if connector.destination is not None:
            with closing(open_destination(opened.catalog, connection)) as destination:
                found["destination"] = destination.check()
    if as_json:
        print_json({"connection": name, "connector": connector.name, "ok": True, **found})
        return
    for role, said in found.items():
        print_line(f"{role}: {said}")


@app.command()
def discover(name: ConnectionKey, as_json: AsJson = False) -> None:
    """The streams that can be read: key, cursor candidates, columns, and what to know."""
    with session() as opened:
        connection = _found(opened.catalog, name)
        with closing(open_source(opened.catalog, connection)) as source:
            streams = list(source.discover())
    if as_json:
        print_json([_json(stream) for stream in streams])
        return
    rows = [
        (
            stream.name,
            ", ".join(stream.primary_key),
            ", ".join(cursor_candidates(stream)),
            ", ".join(stream.schema.names),
            stream.note,
        )
        for stream in streams
    ]
    print_table(
        ("stream", "key", "cursor candidates", "columns", "note"),
        rows,
        empty="there are no streams; has the connection's user the right to see any?",
    )
    tell(f"{len(streams)} streams")


@app.command()
def authorize(
    name: ConnectionKey,
    redirect_uri: Annotated[
        str,
        typer.Option(
            help="Where the provider sends the browser back to, as it is registered there."
        ),
    ] = "http://localhost:8765/callback",
    wait: Annotated[float, typer.Option(metavar="SECONDS", help="How long to wait.")] = 300.0,
    browser: Annotated[bool, typer.Option("--browser", help="Open the page here.")] = False,
) -> None:
    """Let the person who owns the account consent, and keep the tokens, encrypted.

    Prints an address to open in a browser, and waits until the provider sends it back. With
    a redirect address that is not on this machine, the address is pasted instead.
    """
    with session() as opened:
        connection = _found(opened.catalog, name)
        waiting = Waiting(redirect_uri=redirect_uri, seconds=wait)
        asked = Asked(
            app=app_of(connection),
            redirect_uri=redirect_uri,
            state=waiting.state,
            pkce=Pkce.of(secrets.token_bytes(32)),
        )
        url = asked.page
        with waiting.listening() as consented:
            print_line(url)
            tell("open this address in a browser and consent")
            if browser:
                webbrowser.open(url)
            answer = consented()
        granted(opened.catalog, connection, asked, answer, actor=actor(), at=system_clock())
    tell(f"{name} is authorized; connections check {name} tries it")


def _json(stream: Stream) -> Json:
    return {
        "stream": stream.name,
        "primary_key": list(stream.primary_key),
        "cursor_field": stream.cursor_field,
        "cursor_candidates": list(cursor_candidates(stream)),
        "modes": sorted(str(mode) for mode in stream.modes),
        "columns": [
            {"name": field.name, "type": str(field.type), "nullable": field.nullable}
            for field in stream.schema
        ],
        "note": stream.note,
    }


def _found(catalog: Catalog, name: str) -> Connection:
    with catalog.begin() as db:
        return find_connection(db, catalog.secrets, name)
