"""Turns what a record names into what QuickBooks has: customers, items, invoices, accounts.

Law: a customer or an item that is there is taken as it is; one that is not is created, an
item only where the connection names the account it earns into.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from connectors.errors import ConfigError, DataError
from connectors.providers.quickbooks.company import Company
from connectors.providers.quickbooks.forms import Customer, Document, Form, Item, Payment
from connectors.providers.quickbooks.sending import Sender, Sent
from connectors.providers.quickbooks.tables import Thing


@dataclass(slots=True)
class Matcher:
    """Finds ids, and remembers them for one commit."""

    company: Company
    sender: Sender
    income_account: str | None
    _ids: dict[tuple[str, str], str] = field(default_factory=dict)
    _account: str | None = None

    def form(self, thing: Thing) -> Form:
        """The thing with all that it names found; `DataError` where it cannot be."""
        if isinstance(thing, Customer):
            return thing.form()
        if isinstance(thing, Item):
            return thing.form(self._account_id())
        if isinstance(thing, Document):
            return self._document(thing)
        return self._payment(thing)

    def _document(self, document: Document) -> Form:
        if not document.lines:
            raise DataError("it has no lines")
        if document.customer is None and document.entity == "Invoice":
            raise DataError("an invoice needs a customer: customer_email, _name or _key")
        customer = self._customer_id(document.customer) if document.customer else None
        items = {line.item.key: self._item_id(line.item) for line in document.balanced()}
        return document.form(customer, items)

    def _payment(self, payment: Payment) -> Form:
        if payment.customer is None:
            raise DataError("a payment needs a customer: customer_email, _name or _key")
        return payment.form(self._customer_id(payment.customer), self._invoice_id(payment))

    def _customer_id(self, customer: Customer) -> str:
        return self._id(customer.form(only_match=True))

    def _item_id(self, item: Item) -> str:
        return self._id(item.form(self._account_id(), only_match=True))

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
            creates = form.entity != "Item" or self.income_account is not None
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

    def _account_id(self) -> str | None:
        if self.income_account is None:
            return None
        if self._account is None:
            there = self.company.find("Account", "Name", [self.income_account])
            if not there:
                raise ConfigError(
                    f"income_account: QuickBooks has no account {self.income_account!r}; see "
                    "its chart of accounts"
                )
            self._account = str(there[0]["Id"])
        return self._account
