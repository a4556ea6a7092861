"""PostgREST on loopback, over a real PostgreSQL: what its documentation promises, and no more.

Filters, logic, order and pages; upserts; preferences; error codes. It gives at most
``max_rows`` rows, whatever is asked for, as hosted projects do.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import unquote

import psycopg
from psycopg import sql

from connectors.testing.fake_api import FakeApi, Fault, Reply, Request
from tests.providers.postgrest_query import WrongError, name_of, order_of, split, where_of

KEY = "sb_secret_reading_and_writing"
ROOT = "/rest/v1/"
PREFERENCES = re.compile(
    r"(return=(minimal|representation|headers-only)|resolution=(merge|ignore)-duplicates|"
    r"count=(exact|planned|estimated)|missing=default|handling=(strict|lenient)|tx=\w+)"
)
STATUS = {"23505": 409, "23503": 409, "42501": 403, "42P01": 404, "57014": 500}
# Of PostgreSQL's own types it tells no bounds: neither a scale nor a precision.
COLUMNS = """SELECT a.attname,
      format_type(a.atttypid, CASE WHEN t.typnamespace <> 'pg_catalog'::regnamespace
                              THEN a.atttypmod END), coalesce(i.indisprimary, false)
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_index i
      ON i.indrelid = a.attrelid AND i.indisprimary AND a.attnum = ANY(i.indkey)
    WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"""
TABLES = """SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relkind IN ('r', 'v') ORDER BY 1"""


def problem(status: int, code: str, message: str, details: str | None = None) -> Reply:
    body = {"code": code, "message": message, "details": details, "hint": None}
    return Reply.json(body, status=status, headers={"Proxy-Status": f"PostgREST; error={code}"})


def timed_out(request: Request, route: object) -> Reply:
    """57014: the statement took longer than the role may take."""
    return problem(500, "57014", "canceling statement due to statement timeout")


def no_connection(request: Request, route: object) -> Reply:
    """PGRST003: the pool has none left."""
    return problem(504, "PGRST003", "Timed out acquiring connection from connection pool.")


def out_of_range(request: Request, route: object) -> Reply:
    """PGRST103: the page begins behind the last row."""
    return problem(416, "PGRST103", "Requested range not satisfiable")


def done_but_unheard(request: Request, route: Any) -> Reply:
    """The work is done, and its answer lost."""
    route(request)
    return problem(503, "PGRST000", "Could not connect with the database.")


FAULTS: Sequence[Fault] = (timed_out, no_connection, out_of_range, done_but_unheard)


@dataclass(slots=True)
class Project:
    """A project's API on a database of its own."""

    api: FakeApi
    url: str
    schemas: tuple[str, ...] = ("public", "shop")
    max_rows: int = 1000
    writes: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.api.guard = self._guard
        self.api.route("GET", ROOT, self._openapi)
        for method, answer in (
            ("GET", self._read),
            ("POST", self._insert),
            ("PATCH", self._update),
            ("DELETE", self._remove),
        ):
            self.api.route(method, ROOT + "{table}", self._guarded(answer))

    @contextmanager
    def connect(self) -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            yield connection

    def run(self, statement: str) -> None:
        """What its owner does in the SQL editor."""
        with self.connect() as connection:
            connection.execute(statement.encode())

    # Who calls

    def _guard(self, request: Request) -> Reply | None:
        if request.headers.get("apikey") != KEY:
            return problem(401, "PGRST301", "Invalid API key")
        if "authorization" in request.headers:
            return problem(401, "PGRST301", "Expected 3 parts in JWT; got 1")
        said = [one.strip() for one in request.headers.get("prefer", "").split(",") if one.strip()]
        unknown = [one for one in said if not PREFERENCES.fullmatch(one)]
        if unknown and "handling=strict" in said:
            return problem(400, "PGRST122", "Invalid preferences given with handling=strict")
        if self._schema(request) not in self.schemas:
            return problem(406, "PGRST106", f"The schema must be one of: {', '.join(self.schemas)}")
        return None

    def _schema(self, request: Request) -> str:
        reads = request.method in ("GET", "HEAD")
        profile = "accept-profile" if reads else "content-profile"
        return request.headers.get(profile, self.schemas[0])

    def _guarded(self, answer: Any) -> Any:
        def guarded(request: Request) -> Reply:
            schema, table = self._schema(request), unquote(request.places["table"])
            if request.method != "GET":
                self.writes.append(request)
            with self.connect() as connection:
                if not _columns(connection, schema, table):
                    where = f"Could not find the table '{schema}.{table}' in the schema cache"
                    return problem(404, "PGRST205", where)
                try:
                    return cast(Reply, answer(connection, sql.Identifier(schema, table), request))
                except psycopg.Error as error:
                    code = error.sqlstate or "XX000"
                    status = STATUS.get(code, 503 if code[:2] in ("08", "53") else 400)
                    return problem(status, code, str(error).splitlines()[0])
                except WrongError as error:
                    return problem(400, "PGRST100", str(error))

        return guarded

    # What is answered

    def _openapi(self, request: Request) -> Reply:
        schema = self._schema(request)
        definitions = {}
        with self.connect() as connection:
            for (table,) in connection.execute(TABLES, [schema]).fetchall():
                properties = {}
                for name, kind, is_key in _columns(connection, schema, table):
                    note = "Note:\nThis is a Primary Key.<pk/>" if is_key else ""
                    properties[name] = {"format": kind, "description": note}
                definitions[table] = {"type": "object", "properties": properties}
        return Reply.json({"swagger": "2.0", "definitions": definitions})

    def _read(self, connection: Any, table: sql.Identifier, request: Request) -> Reply:
        params = request.params
        where, values = where_of(params)
        names = split(params["select"]) if params.get("select", "*") != "*" else []
        chosen = sql.SQL(", ").join(map(sql.Identifier, map(name_of, names)))
        columns: sql.Composable = chosen if names else sql.SQL("*")
        offset, limit = _range(request, self.max_rows)
        if limit < 0:
            return out_of_range(request, None)
        query = sql.SQL(
            "SELECT coalesce(json_agg(pgrst_rows), '[]')::text, count(*) FROM "
            "(SELECT {} FROM {} WHERE {}{} LIMIT {} OFFSET {}) pgrst_rows"
        ).format(columns, table, where, order_of(params), sql.Literal(limit), sql.Literal(offset))
        body, count = connection.execute(query, values).fetchone()
        total = "*"
        if "count=exact" in request.headers.get("prefer", ""):
            counted = sql.SQL("SELECT count(*) FROM {} WHERE {}").format(table, where)
            [whole] = connection.execute(counted, values).fetchone()
            total = str(whole)
            if offset > whole:
                return out_of_range(request, None)
        span = f"{offset}-{offset + count - 1}" if count else "*"
        partial = total != "*" and count < int(total)
        return Reply(
            status=206 if partial else 200,
            body=body.encode(),
            headers={"Content-Type": "application/json", "Content-Range": f"{span}/{total}"},
        )

    def _insert(self, connection: Any, table: sql.Identifier, request: Request) -> Reply:
        said = request.json()
        rows = said if isinstance(said, list) else [said]
        if len({tuple(sorted(row)) for row in rows}) > 1:
            return problem(400, "PGRST102", "All object keys must match")
        if not rows:
            return Reply(status=201)
        given = request.params.get("columns")
        names = [name_of(one) for one in split(given)] if given else list(rows[0])
        columns = sql.SQL(", ").join(map(sql.Identifier, names))
        conflict: sql.Composable = sql.SQL("")
        prefer = request.headers.get("prefer", "")
        if "resolution=" in prefer:
            keys = [name_of(one) for one in split(request.params["on_conflict"])]
            sets = [
                sql.SQL("{0} = excluded.{0}").format(sql.Identifier(one))
                for one in names
                if one not in keys
            ]
            merge = "resolution=merge" in prefer and sets
            do = sql.SQL("UPDATE SET ") + sql.SQL(", ").join(sets) if merge else sql.SQL("NOTHING")
            on = sql.SQL(", ").join(map(sql.Identifier, keys))
            conflict = sql.SQL(" ON CONFLICT ({}) DO ").format(on) + do
        statement = sql.SQL(
            "INSERT INTO {0} ({1}) SELECT {1} FROM json_populate_recordset(null::{0}, %s::json)"
        ).format(table, columns)
        body = request.body.decode()
        body = body if isinstance(said, list) else f"[{body}]"
        if "return=representation" not in prefer:
            connection.execute(statement + conflict, [body])
            return Reply(status=201)
        told = [sql.Identifier(name_of(one)) for one in split(request.params["select"])]
        answer = sql.SQL(
            "WITH pgrst_source AS ({} RETURNING {}) "
            "SELECT coalesce(json_agg(pgrst_source), '[]')::text FROM pgrst_source"
        ).format(statement + conflict, sql.SQL(", ").join(told))
        [found] = connection.execute(answer, [body]).fetchone()
        return Reply(status=201, body=found.encode())

    def _update(self, connection: Any, table: sql.Identifier, request: Request) -> Reply:
        where, values = where_of(request.params)
        sets = sql.SQL(", ").join(
            sql.SQL("{0} = (SELECT r.{0} FROM json_populate_record(null::{1}, %s::json) r)").format(
                sql.Identifier(name), table
            )
            for name in request.json()
        )
        count = len(request.json())
        statement = sql.SQL("UPDATE {} SET {} WHERE {}").format(table, sets, where)
        connection.execute(statement, [*[request.body.decode()] * count, *values])
        return Reply(status=204)

    def _remove(self, connection: Any, table: sql.Identifier, request: Request) -> Reply:
        where, values = where_of(request.params)
        connection.execute(sql.SQL("DELETE FROM {} WHERE {}").format(table, where), values)
        return Reply(status=204)


def _columns(connection: Any, schema: str, table: str) -> list[tuple[str, str, bool]]:
    name = sql.Identifier(schema, table).as_string(connection)
    return list(connection.execute(COLUMNS, [name]).fetchall())


def _range(request: Request, most: int) -> tuple[int, int]:
    """Where the page begins, and how many rows it has at most; below 0 for one that is upside
    down. The header narrows what the parameters ask for.
    """
    offset = int(request.params.get("offset", "0"))
    limit = int(request.params.get("limit", str(most)))
    asked = re.fullmatch(r"(?:items=)?(\d+)-(\d*)", request.headers.get("range", ""))
    if asked is not None:
        start = int(asked[1])
        limit = min(limit, int(asked[2]) - start + 1 if asked[2] else limit)
        offset += start
        if asked[2] and int(asked[2]) < start:
            return offset, -1
        limit = max(limit, 0)
    return offset, min(limit, most)
