"""Turns what a record names into what QuickBooks has: customers, items, invoices, accounts.

Law: a customer or an item that is there is taken as it is; one that is not is created, an
item only where the connection names the account it earns into.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from connectors.errors import ConfigError, DataError
from connectors.providers.quickbooks.company import Company
from connectors.providers.quickbooks.forms import (
    Customer,
    Document,
    Form,
    Item,
    Payment,
    Refund,
)
from connectors.providers.quickbooks.refunds import CREDIT, RECEIPT
from connectors.providers.quickbooks.sending import VOIDED, Sender, Sent
from connectors.providers.quickbooks.tables import Thing
from connectors.rest.records import Record


@dataclass(slots=True)
class Matcher:
    """Finds ids, and remembers them for one commit."""

    company: Company
    sender: Sender
    accounts: Mapping[str, str | None]
    """Names of accounts, by the setting that gives them."""
    _ids: dict[tuple[str, str], str] = field(default_factory=dict)
    _accounts: dict[str, str] = field(default_factory=dict)

    def form(self, thing: Thing) -> Form:
        """The thing with all that it names found; `DataError` where it cannot be."""
        if isinstance(thing, Customer):
            return thing.form()
        if isinstance(thing, Item):
            return thing.form(self._account_id("income_account"))
        if isinstance(thing, Document):
            return self._document(thing)
        if isinstance(thing, Refund):
            return self._refund(thing)
        return self._payment(thing)

    def _document(self, document: Document) -> Form:
        if not document.lines:
            raise DataError("it has no lines")
        if document.customer is None and document.entity == "Invoice":
            raise DataError("an invoice needs a customer: customer_email, _name or _key")
        customer = self._customer_id(document.customer) if document.customer else None
        items = {line.item.key: self._item_id(line.item) for line in document.balanced()}
        return document.form(customer, items)

    def _refund(self, refund: Refund) -> Form:
        entity, sold = self._sold(refund)
        account = {"DepositToAccountRef": {"value": self._account_id("refund_account")}}
        document = refund.document(entity, sold, account if entity == RECEIPT else {})
        items = {line.item.key: self._item_id(line.item) for line in document.balanced()}
        customer = (sold.get("CustomerRef") or {}).get("value")
        if customer is None and entity == CREDIT:
            raise DataError("the invoice of its order has no customer in QuickBooks")
        return document.form(customer, items)

    def _sold(self, refund: Refund) -> tuple[str, Record]:
        """What the order became, and what its refund becomes."""
        ledger, order = self.sender.ledger, refund.order_key
        for sold in ("SalesReceipt", "Invoice"):
            entry = ledger.find(sold, [order]).get(order)
            if entry is not None and entry.digest != VOIDED:
                is_paid = sold == "SalesReceipt" or order in ledger.find("Payment", [order])
                entity = RECEIPT if is_paid and not self._is_credited(refund, sold) else CREDIT
                return entity, self.company.read(sold, entry.id)
        raise DataError(
            f"its order {order} is not in the books by this sync, so nothing is given back "
            "there; once it is, send this record again with `sync-pipelines rejected redrive`"
        )

    def _is_credited(self, refund: Refund, sold: str) -> bool:
        """Whether it became a credit memo before the invoice was paid."""
        if sold == "SalesReceipt" or self.sender.ledger.find(RECEIPT, [refund.key]):
            return False
        if self.sender.ledger.find(CREDIT, [refund.key]):
            return True
        return bool(self.company.find(CREDIT, "DocNumber", [refund.number]))

    def _payment(self, payment: Payment) -> Form:
        if payment.customer is None:
            raise DataError("a payment needs a customer: customer_email, _name or _key")
        return payment.form(self._customer_id(payment.customer), self._invoice_id(payment))

    def _customer_id(self, customer: Customer) -> str:
        return self._id(customer.form(only_match=True))

    def _item_id(self, item: Item) -> str:
        return self._id(item.form(self._account_id("income_account"), only_match=True))

    def _invoice_id(self, payment: Payment) -> str | None:
        if payment.invoice_key is not None:
            found = self.sender.ledger.find("Invoice", [payment.invoice_key])
            if payment.invoice_key not in found:
                raise DataError(f"this sync has sent no invoice with key {payment.invoice_key!r}")
            return found[payment.invoice_key].id
        if payment.invoice_number is None:
            return None
        there = self.company.find("Invoice", "DocNumber", [payment.invoice_number])
        if len(there) != 1:
            raise DataError(f"there are {len(there)} invoices with number {payment.invoice_number}")
        return str(there[0]["Id"])

    def _id(self, form: Form) -> str:
        place = (form.entity, form.key)
        if place not in self._ids:
            # An item without an account could be found, but not be created.
            creates = form.entity != "Item" or self.accounts.get("income_account") is not None
            sent = self.sender.one(form) if creates else self._only_found(form)
            if sent.entry is None:
                raise DataError(f"its {form.entity.lower()} {form.key!r}: {sent.refused}")
            self._ids[place] = sent.entry.id
        return self._ids[place]

    def _only_found(self, form: Form) -> Sent:
        if not self.sender.ledger.find(form.entity, [form.key]) and not self._there(form):
            raise DataError(
                f"QuickBooks has no item {form.key!r}; create it there, or set income_account "
                "on the connection so that missing items are created"
            )
        return self.sender.one(form)

    def _there(self, form: Form) -> Sequence[object]:
        found = [self.company.find(form.entity, name, [value]) for name, value in form.sought]
        return [one for some in found for one in some]

    def _account_id(self, setting: str) -> str | None:
        name = self.accounts.get(setting)
        if name is not None and setting not in self._accounts:
            there = self.company.find("Account", "Name", [name])
            if not there:
                raise ConfigError(
                    f"{setting}: QuickBooks has no account {name!r}; see its chart of accounts"
                )
            self._accounts[setting] = str(there[0]["Id"])
        return self._accounts.get(setting)
