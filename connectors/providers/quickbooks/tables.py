"""The tables that can be written to, and how a record of each is read. Pure.

Law: a column that has no place is refused before a record moves; a value that does not fit
rejects its record.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

from connectors.errors import DataError
from connectors.providers.quickbooks.forms import (
    Customer,
    Document,
    Item,
    Line,
    Payment,
    Refund,
)

Thing: TypeAlias = Customer | Item | Document | Payment | Refund


@dataclass(frozen=True, slots=True)
class Values:
    """One record, read with care; `DataError` names the column."""

    record: Mapping[str, Any]

    def text(self, name: str) -> str | None:
        """A text; None for one that is empty."""
        value = self.record.get(name)
        return None if value is None or str(value).strip() == "" else str(value).strip()

    def needed(self, name: str) -> str:
        """A text that must be there."""
        found = self.text(name)
        if found is None:
            raise DataError(f"{name} is empty")
        return found

    def money(self, name: str) -> Decimal | None:
        """An amount in whole cents."""
        found = self.number(name)
        if found is not None and found != found.quantize(Decimal("0.01")):
            raise DataError(f"{name} is not an amount in whole cents")
        return found

    def number(self, name: str) -> Decimal | None:
        """A number."""
        text = self.text(name)
        try:
            found = None if text is None else Decimal(text)
        except InvalidOperation as error:
            raise DataError(f"{name} is not a number") from error
        if found is not None and not found.is_finite():
            raise DataError(f"{name} is not a number")
        return found

    def day(self, name: str) -> date | None:
        """A date; of a time, the day it is in its own zone."""
        value = self.record.get(name)
        if isinstance(value, datetime):
            return value.date()
        if value is None or isinstance(value, date):
            return value
        try:
            return date.fromisoformat(str(value)[:10])
        except ValueError as error:
            raise DataError(f"{name} is not a date") from error

    def flag(self, name: str) -> bool | None:
        """True, false, or unknown."""
        value = self.record.get(name)
        if value is None or isinstance(value, bool):
            return value
        raise DataError(f"{name} is neither true nor false")

    def json(self, name: str) -> Any:
        """Something nested, which is carried as JSON text."""
        value = self.record.get(name)
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value, parse_float=Decimal)
        except ValueError as error:
            raise DataError(f"{name} is not JSON") from error

    def objects(self, name: str) -> Sequence[Values]:
        """A list of objects."""
        found = self.json(name)
        if found is None:
            return ()
        if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
            raise DataError(f"{name} is not a list of objects")
        return [Values(one) for one in found]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table: its columns, the entities it is made of, and how a record is read.

    ``columns`` None: any are taken, and what is needed of them is used.
    """

    entities: tuple[str, ...]
    columns: tuple[str, ...] | None
    read: Callable[[str, Values], Thing | None]


def _customer(key: str, values: Values) -> Customer:
    phone, address, active = values.text("phone"), values.json("billing_address"), None
    active = values.flag("active")
    details = {
        "GivenName": values.text("given_name"),
        "FamilyName": values.text("family_name"),
        "CompanyName": values.text("company_name"),
        "Notes": values.text("notes"),
        "PrimaryPhone": {"FreeFormNumber": phone} if phone else None,
        "BillAddr": address,
        "Active": active,
    }
    return Customer(
        key=key,
        name=values.needed("display_name"),
        email=values.text("email"),
        details=_given(details),
    )


def _item(key: str, values: Values) -> Item:
    details = {
        "Description": values.text("description"),
        "UnitPrice": values.number("unit_price"),
        "Taxable": values.flag("taxable"),
        "Active": values.flag("active"),
    }
    return Item(
        key=key,
        name=values.needed("name"),
        sku=values.text("sku"),
        kind=values.text("type") or "NonInventory",
        details=_given(details),
    )


def _given(details: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in details.items() if value is not None}


def named_customer(values: Values) -> Customer | None:
    """The customer whom a document names: by e-mail, by name, or by the key of a record."""
    name, email, key = (values.text(f"customer_{one}") for one in ("name", "email", "key"))
    known = key or email or name
    if known is None:
        return None
    return Customer(key=known, name=name or email or known, email=email)


def _line(values: Values) -> Line:
    quantity = values.number("quantity") or Decimal(1)
    price, amount = values.number("unit_price"), values.money("amount")
    if amount is None:
        if price is None:
            raise DataError("a line has neither amount nor unit_price")
        amount = (quantity * price).quantize(Decimal("0.01"))
    name = values.text("name") or values.text("sku")
    if name is None:
        raise DataError("a line names no item: give it a sku or a name")
    return Line(
        name=name,
        sku=values.text("sku"),
        amount=amount,
        quantity=quantity,
        unit_price=price,
        description=values.text("description"),
        taxable=values.flag("taxable") or False,
    )


def _document(entity: str) -> Callable[[str, Values], Document]:
    def read(key: str, values: Values) -> Document:
        return Document(
            key=key,
            entity=entity,
            number=values.text("number") or key,
            customer=named_customer(values),
            lines=[_line(line) for line in values.objects("lines")],
            on=values.day("date"),
            due_on=values.day("due_date"),
            currency=values.text("currency"),
            tax=values.money("tax") or Decimal(0),
            total=values.money("total"),
            note=values.text("note") or "",
        )

    return read


def _payment(key: str, values: Values) -> Payment:
    amount = values.money("amount")
    if amount is None:
        raise DataError("amount is empty")
    return Payment(
        key=key,
        amount=amount,
        customer=named_customer(values),
        on=values.day("date"),
        reference=values.text("reference"),
        currency=values.text("currency"),
        invoice_key=values.text("invoice_key"),
        invoice_number=values.text("invoice_number"),
        note=values.text("note") or "",
    )


_WHO = ("customer_key", "customer_name", "customer_email")
_PAPER = (*_WHO, "number", "date", "lines", "tax", "total", "currency", "note")

TABLES: Mapping[str, Table] = {
    "customers": Table(
        entities=("Customer",),
        columns=(
            "display_name",
            "email",
            "phone",
            "given_name",
            "family_name",
            "company_name",
            "billing_address",
            "notes",
            "active",
        ),
        read=_customer,
    ),
    "items": Table(
        entities=("Item",),
        columns=("name", "sku", "type", "description", "unit_price", "taxable", "active"),
        read=_item,
    ),
    "invoices": Table(
        entities=("Invoice",), columns=(*_PAPER, "due_date"), read=_document("Invoice")
    ),
    "sales_receipts": Table(
        entities=("SalesReceipt",), columns=_PAPER, read=_document("SalesReceipt")
    ),
    "payments": Table(
        entities=("Payment",),
        columns=(
            *_WHO,
            "amount",
            "date",
            "reference",
            "currency",
            "invoice_key",
            "invoice_number",
            "note",
        ),
        read=_payment,
    ),
}
