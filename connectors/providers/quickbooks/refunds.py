"""A shop's refund as WooCommerce gives it, as a document of QuickBooks. Pure.

::

    of an order that is a sales receipt            a refund receipt
    of an order that is an invoice, and was paid   a refund receipt
    of an order that is an invoice, unpaid         a credit memo

Lines are what was given back for each; an amount that no line explains is the item
``Refunds``. The customer is the one of the document that the order became.
"""

from __future__ import annotations

from decimal import Decimal

from connectors.errors import DataError
from connectors.providers.quickbooks.forms import MOST_ROUNDING, Line, Refund
from connectors.providers.quickbooks.orders import lines_of
from connectors.providers.quickbooks.tables import Table, Values

TABLE = "refunds"
RECEIPT, CREDIT = "RefundReceipt", "CreditMemo"


def _refund(key: str, values: Values) -> Refund:
    amount = values.money("amount")
    if amount is None or amount <= 0:
        raise DataError("amount is empty, or nothing is given back")
    lines = [line for line in lines_of(values, sign=-1) if line.amount]
    taxes = [one.money("total_tax") or Decimal(0) for one in _taxed(values)]
    tax = -sum(taxes, Decimal(0))
    unexplained = amount - tax - sum(line.amount for line in lines)
    if unexplained > MOST_ROUNDING:
        lines.append(Line(name="Refunds", amount=unexplained))
    elif unexplained < -MOST_ROUNDING:
        # The shop takes whatever amount it is told, and the lines only as a remark.
        lines, tax = [Line(name="Refunds", amount=amount)], Decimal(0)
    return Refund(
        key=key,
        order_key=values.needed("order_id"),
        amount=amount,
        lines=lines,
        tax=tax,
        on=values.day("date_created_gmt"),
        reason=values.text("reason") or "",
    )


def _taxed(values: Values) -> list[Values]:
    parts = ("line_items", "shipping_lines", "fee_lines")
    return [one for part in parts for one in values.objects(part)]


REFUNDS = Table(entities=(RECEIPT, CREDIT), columns=None, read=_refund)
