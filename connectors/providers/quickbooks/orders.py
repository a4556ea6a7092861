"""A shop's order as WooCommerce gives it, as a document of QuickBooks. Pure.

::

    pending, on-hold                 waits, or an invoice
    processing, completed, or paid   a sales receipt; or an invoice and its payment
    cancelled, failed, trash         nothing; what was sent before is voided
    refunded                         what was sent before stays; where refunds are sent too,
                                     as one that is paid
    drafts                           nothing

The customer is the order's billing address: by e-mail, then by name. Items are the order's
lines by SKU, then by name; shipping and fees are the items ``Shipping`` and ``Fees``. A
line's amount is what was paid for it, after discounts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from connectors.errors import DataError
from connectors.providers.quickbooks.config import OrdersAs
from connectors.providers.quickbooks.forms import Customer, Document, Line, Payment
from connectors.providers.quickbooks.tables import Table, Thing, Values

TABLE = "orders"
PAID = frozenset({"processing", "completed"})
OFF = frozenset({"cancelled", "failed", "trash"})
REFUNDED = "refunded"
DRAFTS = frozenset({"checkout-draft", "auto-draft"})


def orders_table(orders_as: OrdersAs, *, refunds: bool = False) -> Table:
    """The table ``orders``, as the connection wants it; ``refunds`` says that they are sent too."""
    as_invoices = orders_as is OrdersAs.INVOICES
    entity = "Invoice" if as_invoices else "SalesReceipt"
    return Table(entities=(entity,), columns=None, read=_reader(entity, as_invoices, refunds))


def _reader(entity: str, as_invoices: bool, refunds: bool) -> Callable[[str, Values], Thing | None]:
    paid = PAID | {REFUNDED} if refunds else PAID
    left_alone = DRAFTS if refunds else DRAFTS | {REFUNDED}

    def read(key: str, values: Values) -> Thing | None:
        status = values.needed("status").removeprefix("wc-")
        number = values.text("number") or key
        if status in left_alone:
            return None
        if status in OFF:
            return Document(key=key, entity=entity, number=number, lines=(), void=True)
        paid_on = values.day("date_paid_gmt")
        is_paid = paid_on is not None or status in paid
        if not is_paid and not as_invoices:
            return None
        total, currency = values.money("total"), values.text("currency")
        if total is None:
            raise DataError("total is empty")
        customer = _customer(values)
        created_on = values.day("date_created_gmt")
        payment = Payment(
            key=key,
            amount=total,
            customer=customer,
            on=paid_on or created_on,
            reference=f"Order {number}"[:21],
            currency=currency,
            invoice_key=key,
        )
        return Document(
            key=key,
            entity=entity,
            number=number,
            lines=lines_of(values),
            customer=customer,
            on=created_on,
            currency=currency,
            tax=values.money("total_tax") or Decimal(0),
            total=total,
            paid=payment if is_paid and as_invoices and total else None,
        )

    return read


def _customer(values: Values) -> Customer | None:
    billing = values.json("billing")
    if not isinstance(billing, Mapping):
        return None
    who = Values(billing)
    email, company, phone = who.text("email"), who.text("company"), who.text("phone")
    given, family = who.text("first_name"), who.text("last_name")
    name = " ".join(part for part in (given, family) if part) or company or email
    if name is None:
        return None
    places = {
        "Line1": who.text("address_1"),
        "Line2": who.text("address_2"),
        "City": who.text("city"),
        "CountrySubDivisionCode": who.text("state"),
        "PostalCode": who.text("postcode"),
        "Country": who.text("country"),
    }
    address = {part: text for part, text in places.items() if text}
    details: Mapping[str, Any] = {
        **({"GivenName": given} if given else {}),
        **({"FamilyName": family} if family else {}),
        **({"CompanyName": company} if company else {}),
        **({"PrimaryPhone": {"FreeFormNumber": phone}} if phone else {}),
        **({"BillAddr": address} if address else {}),
    }
    return Customer(key=(email or name).lower(), name=name, email=email, details=details)


def lines_of(values: Values, *, sign: int = 1) -> Sequence[Line]:
    """What was sold, shipping and fees; a refund has them with a minus, and so with ``sign`` -1."""
    sold = values.objects("line_items")
    extra = (
        ("shipping_lines", "Shipping", "method_title"),
        ("fee_lines", "Fees", "name"),
    )
    return [
        *(_sold(line, sign) for line in sold),
        *(
            _extra(line, sign, item, described_by)
            for part, item, described_by in extra
            for line in values.objects(part)
        ),
    ]


def _sold(line: Values, sign: int) -> Line:
    name = line.text("name") or line.text("sku")
    if name is None:
        raise DataError("a line has neither sku nor name")
    return Line(
        name=name,
        sku=line.text("sku"),
        amount=_amount(line, sign),
        quantity=sign * (line.number("quantity") or Decimal(0)) or Decimal(1),
        description=name,
        taxable=bool(line.number("total_tax")),
    )


def _extra(line: Values, sign: int, item: str, described_by: str) -> Line:
    return Line(
        name=item,
        amount=_amount(line, sign),
        description=line.text(described_by),
        taxable=bool(line.number("total_tax")),
    )


def _amount(line: Values, sign: int) -> Decimal:
    found = line.money("total")
    if found is None:
        raise DataError("a line has no total")
    return sign * found
