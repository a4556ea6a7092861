"""What is sent to QuickBooks: plain values, and the bodies they become. Pure.

Laws: money is exact to the cent or refused; a line's quantity times its price is its amount;
a document's lines and tax are its total, and cents of difference get a line of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from hashlib import sha256
from typing import Any

from connectors.errors import DataError
from connectors.http.call import encoded

CENT = Decimal("0.01")
MOST_ROUNDING = Decimal("0.05")
"""A larger difference between lines and total is no rounding: the record is refused."""

_SIZES = {"DisplayName": 500, "Name": 100, "DocNumber": 21, "PaymentRefNum": 21}


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One object as it should be, and how an object that is there already is known.

    ``sought`` are fields and values to find it by, the surest first. ``twin`` is a field
    that must not differ where both have it. ``marked`` objects carry a mark of ours in
    their note. ``only_match``: one that is there is taken as it is.
    """

    entity: str
    key: str
    body: Mapping[str, Any] = field(repr=False)
    sought: tuple[tuple[str, str], ...]
    twin: str | None = None
    marked: bool = False
    only_match: bool = False

    @property
    def digest(self) -> str:
        """Which version of the record this is."""
        return sha256(encoded(self.body).encode()).hexdigest()[:32]

    @property
    def is_unique(self) -> bool:
        """Whether two objects with the same value would be a mistake; payments may share one."""
        return self.entity != "Payment"

    @property
    def named_by(self) -> str:
        """The field that must be unique in QuickBooks."""
        return self.sought[-1][0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Who buys. ``details`` are further fields, as QuickBooks spells them."""

    key: str
    name: str
    email: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def form(self, *, only_match: bool = False) -> Form:
        """As it is sent. A customer who is only matched is found by e-mail first."""
        name = named(self.name, "DisplayName")
        email = {"PrimaryEmailAddr": {"Address": self.email}} if self.email else {}
        by_email = (("PrimaryEmailAddr", self.email),) if self.email and only_match else ()
        return Form(
            entity="Customer",
            key=self.key,
            body={"DisplayName": name, **email, **self.details},
            sought=(*by_email, ("DisplayName", name)),
            twin="PrimaryEmailAddr.Address",
            only_match=only_match,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What is sold; ``account_id`` is the account it earns into."""

    key: str
    name: str
    sku: str | None = None
    kind: str = "NonInventory"
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def form(self, account_id: str | None, *, only_match: bool = False) -> Form:
        """As it is sent; without an account it can only change what is there."""
        name = named(self.name, "Name")
        account = {"IncomeAccountRef": {"value": account_id}} if account_id else {}
        sku = {"Sku": self.sku} if self.sku else {}
        return Form(
            entity="Item",
            key=self.key,
            body={"Name": name, "Type": self.kind, **sku, **account, **self.details},
            sought=((("Sku", self.sku),) if self.sku else ()) + (("Name", name),),
            twin="Sku",
            only_match=only_match,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a document; the item is named by its SKU, or else by its name."""

    name: str
    amount: Decimal
    sku: str | None = None
    quantity: Decimal = Decimal(1)
    unit_price: Decimal | None = None
    description: str | None = None
    taxable: bool = False

    @property
    def item(self) -> Item:
        """The item to match."""
        return Item(key=self.sku or self.name, name=self.name, sku=self.sku)

    def body(self, item_id: str) -> Mapping[str, Any]:
        """As it is sent: one of the whole amount, where the price has no exact cents."""
        quantity, price, text = self.quantity, self.unit_price, self.description
        if price is None and quantity:
            price = (self.amount / quantity).quantize(CENT, ROUND_HALF_UP)
        if price is None or quantity * price != self.amount:
            text = f"{quantity.normalize():f} x {text or self.name}"
            quantity, price = Decimal(1), self.amount
        return {
            "Amount": self.amount,
            "DetailType": "SalesItemLineDetail",
            **({"Description": text} if text else {}),
            "SalesItemLineDetail": {
                "ItemRef": {"value": item_id},
                "Qty": quantity,
                "UnitPrice": price,
                "TaxCodeRef": {"value": "TAX" if self.taxable else "NON"},
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What is sold or given back; ``void`` cancels it where it was sent before.

    ``details`` are further fields, as QuickBooks spells them.
    """

    key: str
    entity: str
    number: str
    lines: Sequence[Line] = field(repr=False)
    customer: Customer | None = None
    on: date | None = None
    due_on: date | None = None
    currency: str | None = None
    tax: Decimal = Decimal(0)
    total: Decimal | None = None
    note: str = field(default="", repr=False)
    paid: Payment | None = None
    void: bool = False
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def balanced(self) -> Sequence[Line]:
        """The lines, whose sum and the tax are the total; `DataError` if they are far from it."""
        whole = sum((line.amount for line in self.lines), self.tax)
        if self.total is None or whole == self.total:
            return self.lines
        missing = self.total - whole
        if abs(missing) > MOST_ROUNDING:
            raise DataError(
                f"the lines and the tax add up to {whole}, and the total is {self.total}"
            )
        return (*self.lines, Line(name="Rounding", amount=missing))

    def form(self, customer_id: str | None, items: Mapping[str, str]) -> Form:
        """As it is sent; ``items`` has the id of each line's item by its key."""
        if len(self.number) > _SIZES["DocNumber"]:
            raise DataError(f"number {self.number!r} is longer than 21 characters")
        lines = [line.body(items[line.item.key]) for line in self.balanced()]
        tax = {"TxnTaxDetail": {"TotalTax": self.tax}} if self.tax else {}
        body = {
            "DocNumber": self.number,
            **_dated(self.on, self.due_on),
            **({"CustomerRef": {"value": customer_id}} if customer_id else {}),
            **({"CurrencyRef": {"value": self.currency}} if self.currency else {}),
            "Line": lines,
            **tax,
            **self.details,
            "PrivateNote": self.note,
        }
        sought = (("DocNumber", self.number),)
        return Form(entity=self.entity, key=self.key, body=body, sought=sought, marked=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """Money that came; for an invoice by its record's key or its number, or for none."""

    key: str
    amount: Decimal
    customer: Customer | None = None
    on: date | None = None
    reference: str | None = None
    currency: str | None = None
    invoice_key: str | None = None
    invoice_number: str | None = None
    note: str = field(default="", repr=False)

    def form(self, customer_id: str, invoice_id: str | None) -> Form:
        """As it is sent."""
        linked = {"LinkedTxn": [{"TxnId": invoice_id, "TxnType": "Invoice"}]}
        reference = self.reference or sha256(self.key.encode()).hexdigest()[:21]
        if len(reference) > _SIZES["PaymentRefNum"]:
            raise DataError(f"reference {reference!r} is longer than 21 characters")
        body = {
            "CustomerRef": {"value": customer_id},
            "TotalAmt": self.amount,
            "PaymentRefNum": reference,
            **_dated(self.on, None),
            **({"CurrencyRef": {"value": self.currency}} if self.currency else {}),
            **({"Line": [{"Amount": self.amount, **linked}]} if invoice_id else {}),
            "PrivateNote": self.note,
        }
        sought = (("PaymentRefNum", reference),)
        return Form(entity="Payment", key=self.key, body=body, sought=sought, marked=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """Money that went back for an order, which is known by the key of its record."""

    key: str
    order_key: str
    amount: Decimal
    lines: Sequence[Line] = field(repr=False)
    tax: Decimal = Decimal(0)
    on: date | None = None
    reason: str = field(default="", repr=False)

    @property
    def number(self) -> str:
        """The document's: a shop counts its refunds apart from its orders' numbers."""
        return f"R{self.key}"

    def document(
        self, entity: str, sold: Mapping[str, Any], details: Mapping[str, Any]
    ) -> Document:
        """As a document of that entity, for ``sold``, which the order became."""
        note = f"Refund of order {sold.get('DocNumber') or self.order_key}. {self.reason}"
        return Document(
            key=self.key,
            entity=entity,
            number=self.number,
            lines=self.lines,
            on=self.on,
            currency=(sold.get("CurrencyRef") or {}).get("value"),
            tax=self.tax,
            total=self.amount,
            note=note.strip(),
            details=details,
        )


def _dated(on: date | None, due_on: date | None) -> Mapping[str, str]:
    named_dates = (("TxnDate", on), ("DueDate", due_on))
    return {name: day.isoformat() for name, day in named_dates if day is not None}


def named(text: str, field_name: str) -> str:
    """A name as QuickBooks can hold it: no colon, no line breaks, not too long."""
    plain = " ".join(text.replace(":", " ").split())
    if not plain:
        raise DataError("it has no name")
    return plain[: _SIZES[field_name]].rstrip()


def renamed(form: Form) -> Form:
    """The same under a name that its key makes its own."""
    field_name = form.named_by
    suffix = f" ({named(form.key, field_name)[:60]})"
    name = str(form.body[field_name])[: _SIZES[field_name] - len(suffix)] + suffix
    return Form(
        entity=form.entity,
        key=form.key,
        body={**form.body, field_name: name},
        sought=((field_name, name),),
        twin=form.twin,
        only_match=form.only_match,
    )
