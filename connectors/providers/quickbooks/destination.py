"""QuickBooks as a destination: customers, items, documents and payments, by upsert.

Law: what cannot be done as the contract has it is refused when a stream is opened:
QuickBooks is never emptied, replaced or appended to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime

from connectors.contract import (
    Deletes,
    Destination,
    Encoding,
    Selection,
    SyncMode,
    Target,
    WriteMode,
    Writer,
)
from connectors.described import arrow_schema
from connectors.errors import ConfigError, ContractError
from connectors.http.outside import Outside
from connectors.late import pa
from connectors.providers.quickbooks.company import Company, api_of, realm_of
from connectors.providers.quickbooks.config import QuickBooksConfig
from connectors.providers.quickbooks.ledger import DATASETS, Ledger
from connectors.providers.quickbooks.matching import Matcher
from connectors.providers.quickbooks.orders import TABLE as ORDERS
from connectors.providers.quickbooks.orders import orders_table
from connectors.providers.quickbooks.refunds import REFUNDS
from connectors.providers.quickbooks.refunds import TABLE as REFUNDED
from connectors.providers.quickbooks.sending import Sender
from connectors.providers.quickbooks.source import QuickBooksSource
from connectors.providers.quickbooks.tables import TABLES, Table
from connectors.providers.quickbooks.writer import QuickBooksWriter
from connectors.rejected import REJECTED_TABLE
from connectors.rest.source import open_client
from connectors.sql.config import DatabaseConfig
from connectors.sql.destination import SqlDestination, open_store
from connectors.sql.names import nearest
from connectors.surroundings import Surroundings


def _now() -> datetime:
    return datetime.now(UTC)


def open_destination(config: QuickBooksConfig) -> Destination:
    """A destination on this configuration; nothing is connected to yet."""
    return QuickBooksDestination(config=config)


@dataclass(slots=True, kw_only=True)
class QuickBooksDestination:
    """See `connectors.contract.Destination`. ``outside`` and ``clock`` are what a test replaces."""

    config: QuickBooksConfig
    clock: Callable[[], datetime] = _now
    outside: Outside = field(default_factory=Outside)
    _surroundings: Surroundings = field(default_factory=Surroundings, init=False)
    _opened: Company | None = field(default=None, init=False, repr=False)

    def surround(self, surroundings: Surroundings) -> None:
        """See `Surrounded.surround`."""
        self._surroundings = surroundings

    @property
    def _company(self) -> Company:
        if self._opened is None:
            api = api_of(self.config, self._surroundings)
            client = open_client(api, self._surroundings, outside=self.outside)
            self._opened = Company(client, self.config.minor_version)
        return self._opened

    def check(self) -> str:
        """Ask for the company, and look at the ledger."""
        realm = realm_of(self.config, self._surroundings)
        self._company.client.get(f"companyinfo/{realm}", minorversion=self.config.minor_version)
        if self.config.ledger is None:
            return f"QuickBooks, company {realm}; to write to it, set ledger"
        with closing(open_store(self._ledger)) as store:
            return f"QuickBooks, company {realm}; ledger: {store.version()}"

    def encodings(self, target: Target) -> Sequence[Encoding]:
        """Arrow."""
        return (Encoding.ARROW,)

    def open(self, target: Target, encoding: Encoding) -> Writer:
        """Refuse what cannot be written, and look at the ledger."""
        if encoding is not Encoding.ARROW:
            raise ContractError(f"QuickBooks is written from Arrow, not from {encoding}")
        table = self._table(target)
        company = self._company
        realm = realm_of(self.config, self._surroundings)
        ledger = Ledger(self._ledger, target, realm=realm)
        sender = Sender(company, ledger)
        accounts = {
            "income_account": self.config.income_account,
            "refund_account": self.config.refund_account,
        }
        opened = False
        try:
            writer = QuickBooksWriter(
                target=target,
                table=table,
                ledger=ledger,
                sender=sender,
                matcher=lambda: Matcher(company, sender, accounts),
                clock=self.clock,
            )
            opened = True
        finally:
            if not opened:
                ledger.close()
        return writer

    @property
    def _ledger(self) -> DatabaseConfig:
        if self.config.ledger is None:
            raise ConfigError(
                "ledger is missing: writing to QuickBooks needs a database that keeps which "
                "record became which object; set it to a URL, as postgresql://… or sqlite:////…"
            )
        return DatabaseConfig(url=self.config.ledger)

    def _table(self, target: Target) -> Table:
        sends_refunds = self.config.refund_account is not None
        orders = orders_table(self.config.orders_as, refunds=sends_refunds)
        tables = {**TABLES, ORDERS: orders, REFUNDED: REFUNDS}
        table = tables.get(target.table)
        if table is None:
            hint = nearest(target.table, sorted(tables))
            raise ConfigError(f"QuickBooks has no table {target.table!r} to write to; {hint}")
        if table is REFUNDS and not sends_refunds:
            raise ConfigError(
                "refund_account is missing: it names the account that refunds are paid from; set "
                "it on the connection"
            )
        if target.write_mode is not WriteMode.UPSERT or target.deletes is not Deletes.KEEP:
            raise ConfigError(
                f"{target.stream!r}: QuickBooks is written with write_mode upsert and deletes "
                "keep; what is in its books is not replaced or removed"
            )
        if not target.primary_key:
            raise ConfigError(f"{target.stream!r} has no primary_key to upsert by; name one")
        ours = {*target.primary_key, target.cursor_field}
        for name in target.schema.names if table.columns is not None else ():
            if name not in (table.columns or ()) and name not in ours:
                hint = nearest(name, table.columns or ())
                raise ConfigError(
                    f"column {name!r} has no place in QuickBooks' {target.table}; {hint} "
                    "Rename it, or leave it out with columns"
                )
        return table

    def read_table(self, dataset: str, table: str) -> pa.Table:
        """All objects, as the source reads them; rejected records are in the ledger."""
        if table == REJECTED_TABLE:
            with closing(SqlDestination(self._ledger)) as ledger:
                return ledger.read_table(DATASETS[self._ledger.dialect], table)
        with closing(QuickBooksSource(config=self.config, outside=self.outside)) as source:
            source.surround(self._surroundings)
            stream = source.stream(table)
            selection = Selection(stream=stream, mode=SyncMode.FULL)
            batches = source.read(selection, None, Encoding.ARROW)
            found = [batch.data for batch in batches if isinstance(batch.data, pa.Table)]
        return pa.concat_tables([arrow_schema(stream.schema).empty_table(), *found])

    def close(self) -> None:
        """Release connections; safe to call twice."""
        if self._opened is not None:
            self._opened.client.close()
