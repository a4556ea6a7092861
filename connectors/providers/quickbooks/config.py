"""The configuration of a QuickBooks connection: an Intuit app, a company, how it is written to."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from connectors.sql.config import DatabaseConfig, Dialect

PRODUCTION = "https://quickbooks.api.intuit.com"
SANDBOX = "https://sandbox-quickbooks.api.intuit.com"

LEDGERS = (Dialect.POSTGRESQL, Dialect.SQLITE, Dialect.DUCKDB)


class OrdersAs(StrEnum):
    """What a shop's order becomes.

    ``sales_receipts``: a paid order becomes a sales receipt, an unpaid one waits until it
    is paid. ``invoices``: every order becomes an invoice, and its payment a payment.
    """

    SALES_RECEIPTS = "sales_receipts"
    INVOICES = "invoices"


class QuickBooksConfig(BaseModel):
    """One company of QuickBooks Online.

    ``realm_id`` is the company's number; authorizing a connection brings it. ``ledger`` is
    the URL of a database in which the destination keeps its state and which record became
    which object; only writing needs it. ``income_account`` is the name of the account that
    new items earn into; without it, items are matched but never created.
    ``refund_account`` is the name of the account that refunds are paid from; they are sent
    only with it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    client_id: str
    client_secret: SecretStr
    realm_id: str | None = Field(default=None, pattern=r"^\d{1,32}$")
    refresh_token: SecretStr | None = None
    sandbox: bool = False
    base_url: str | None = None
    authorize_url: str = "https://appcenter.intuit.com/connect/oauth2"
    token_url: str = "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer"
    minor_version: int = Field(default=75, ge=75)
    allow_private_addresses: bool = False
    ledger: SecretStr | None = None
    income_account: str | None = None
    orders_as: OrdersAs = OrdersAs.SALES_RECEIPTS
    refund_account: str | None = None

    @field_validator("ledger")
    @classmethod
    def _a_database(cls, ledger: SecretStr | None) -> SecretStr | None:
        if ledger is not None and DatabaseConfig(url=ledger).dialect not in LEDGERS:
            raise ValueError(f"a ledger is kept in {', '.join(LEDGERS)}, not in this database")
        return ledger

    @property
    def origin(self) -> str:
        """Where the API is."""
        return (self.base_url or (SANDBOX if self.sandbox else PRODUCTION)).rstrip("/")
