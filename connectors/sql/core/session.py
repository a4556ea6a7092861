"""One server through SQLAlchemy: a connection, its tables, and its errors as ours."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy import exc
from sqlalchemy.types import TypeEngine

from connectors.arrow import Native, described
from connectors.errors import AuthError, ConfigError, ConnectorError, TransientError
from connectors.sql.config import DatabaseConfig
from connectors.sql.core.speech import Speech, spelled
from connectors.sql.names import TableName
from connectors.sql.tables import Column, Table

log = structlog.get_logger()


@dataclass(slots=True)
class CoreSession:
    """One connection that commits by itself, opened when first needed."""

    config: DatabaseConfig
    speech: Speech
    _engine: sa.Engine | None = field(default=None, repr=False)
    _connection: sa.Connection | None = field(default=None, repr=False)

    @property
    def connection(self) -> sa.Connection:
        """The connection; a lost one is opened anew."""
        if self._connection is None or self._connection.invalidated:
            with self.translated("connecting"):
                found = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
                for statement in self.speech.begins:
                    found.exec_driver_sql(statement)
            self._connection = found
        return self._connection

    @property
    def engine(self) -> sa.Engine:
        """The engine; `ConfigError` where its driver is not installed."""
        if self._engine is None:
            url, arguments = self.speech.engine(self.config)
            try:
                self._engine = sa.create_engine(
                    url, connect_args=dict(arguments), poolclass=sa.NullPool
                )
            except ImportError as error:  # an extra, because few need it
                raise ConfigError(
                    f"{self.speech.dialect}:// needs the package {self.speech.driver}; install "
                    f"sync-pipelines[{self.speech.dialect}]"
                ) from error
        return self._engine

    def version(self) -> str:
        """Which server this is, in one line."""
        with self.translated("asking for the version"):
            number = self.connection.dialect.server_version_info or ()
        dotted = ".".join(str(part) for part in number)
        return f"{self.speech.dialect} {dotted} at {self.config.redacted}"

    @property
    def default_schema(self) -> str:
        """The schema that names without one mean."""
        with self.translated("asking for the schema"):
            inspector = sa.inspect(self.connection)
        return self._real(inspector.default_schema_name or "")

    def describe(self, name: TableName) -> Table | None:
        """One table or view."""
        with self._inspecting() as inspector:
            schema = name.schema or self._real(inspector.default_schema_name or "")
            if not inspector.has_table(self._known(name.table), schema=self._known(schema)):
                return None
            return self._table(inspector, TableName(schema=schema, table=name.table))

    def describe_all(self) -> Sequence[Table]:
        """Every table and view of the default schema, ordered by name."""
        with self._inspecting() as inspector:
            schema = self._real(inspector.default_schema_name or "")
            names = [*inspector.get_table_names(), *inspector.get_view_names()]
            real = sorted(self._real(one) for one in names)
            return [self._table(inspector, TableName(schema=schema, table=one)) for one in real]

    @contextmanager
    def _inspecting(self) -> Iterator[sa.Inspector]:
        with self.translated("reading the catalog"), warnings.catch_warnings():
            # A type that SQLAlchemy does not know is ours to decide about.
            warnings.simplefilter("ignore", exc.SAWarning)
            yield sa.inspect(self.connection)

    def _real(self, name: str) -> str:
        """A name as the server has it: Oracle's are in capital letters, and told in small ones."""
        dialect = self.connection.dialect
        return str(dialect.denormalize_name(name)) if dialect.requires_name_normalize else name

    def _known(self, name: str) -> str:
        """A server's name as SQLAlchemy knows it."""
        dialect = self.connection.dialect
        return str(dialect.normalize_name(name)) if dialect.requires_name_normalize else name

    def _table(self, inspector: sa.Inspector, name: TableName) -> Table:
        table, schema = self._known(name.table), self._known(name.schema or "")
        made = []
        for one in inspector.get_columns(table, schema=schema):
            column = self._column(self._real(one["name"]), one["type"], nullable=one["nullable"])
            if column is None:
                log.warning("column.unreadable", table=name.table, column=one["name"])
            else:
                made.append(column)
        key = inspector.get_pk_constraint(table, schema=schema)["constrained_columns"]
        indexes = inspector.get_indexes(table, schema=schema)
        first = [one["column_names"][0] for one in indexes if one["column_names"]]
        leading = {self._real(one) for one in (*first, *key[:1]) if one is not None}
        return Table(
            name=name,
            columns=tuple(made),
            primary_key=tuple(self._real(one) for one in key),
            leading=frozenset(leading),
        )

    def _column(self, name: str, kind: TypeEngine[Any], *, nullable: bool) -> Column | None:
        meaning = self.speech.meaning(kind)
        if meaning is None:
            return None
        native = spelled(kind, self.engine.dialect)
        arrow = described(
            name,
            str(meaning.storage),
            nullable=nullable,
            native=Native(dialect=self.speech.dialect, type=native),
            logical=meaning.logical,
            digits=meaning.digits,
            length=meaning.length,
        )
        return Column(name=name, native=native, nullable=nullable, field=arrow)

    def interrupt(self) -> None:
        """End a statement that another thread waits for, where the driver can."""
        if self._connection is not None and not self._connection.closed:
            driver = self._connection.connection.driver_connection
            cancel = getattr(driver, "cancel", None)
            if cancel is not None:
                with self.translated("ending a statement"):
                    cancel()

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    @contextmanager
    def translated(self, action: str) -> Iterator[None]:
        """Turn SQLAlchemy's errors into ours; ``action`` says what was tried."""
        try:
            yield
        except exc.DBAPIError as error:
            raise self._told(action, error) from error
        except exc.SQLAlchemyError as error:
            raise ConfigError(f"{self.config.redacted} cannot be read: {error}") from error

    def _told(self, action: str, error: exc.DBAPIError) -> ConnectorError:
        said = " ".join(str(error.orig).split())[:300]
        code = self.speech.code(said)
        where = f"{self.config.redacted} while {action}"
        if code in self.speech.denied:
            return AuthError(f"{where} refused us: {said}; check user, password and privileges")
        if error.connection_invalidated or code in self.speech.transient:
            return TransientError(f"{where} failed: {said}")
        return ConfigError(f"{where} refused it: {said}")
