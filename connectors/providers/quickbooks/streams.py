"""What is read from QuickBooks, and how its query language is paged.

Laws:

* What changed is asked for by ``MetaData.LastUpdatedTime``, with a closed edge.
* List objects that were made inactive are still read; QuickBooks hides them else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from connectors.errors import ConfigError
from connectors.http.call import Call, Params
from connectors.rest.columns import Column, Kind
from connectors.rest.incremental import Incremental
from connectors.rest.pages import Page
from connectors.rest.records import Record
from connectors.rest.spec import StreamSpec

MOST = 1000
"""Objects in one answer, at most."""

LAG = timedelta(minutes=5)
"""How long a change may take until queries show it. Believed; it costs a few records."""

_FIELD = re.compile(r"[A-Za-z][A-Za-z.]*")
_START = re.compile(r"STARTPOSITION (\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryPages:
    """Turns what is asked of a stream into a query, and goes on by ``STARTPOSITION``.

    ``since`` and every other parameter but ``minorversion`` become its conditions.
    """

    entity: str
    where: tuple[str, ...] = ()
    size: int = MOST
    shifts: bool = True

    def first(self, call: Call) -> Call:
        """See `Pages.first`."""
        asked = [(name, value) for name, value in call.params if name != "minorversion"]
        conditions = [*self.where, *(_condition(name, value) for name, value in asked)]
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        query = (
            f"SELECT * FROM {self.entity}{where} ORDERBY MetaData.LastUpdatedTime "
            f"STARTPOSITION 1 MAXRESULTS {self.size}"
        )
        return call.put({**{name: None for name, _ in asked}, "query": query})

    def next(self, page: Page) -> Call | None:
        """See `Pages.next`."""
        if len(page.records) < self.size:
            return None
        query = page.call.param("query") or ""
        start = int(_START.findall(query)[-1]) + self.size
        head, _, _ = query.rpartition("STARTPOSITION")
        return page.call.put({"query": f"{head}STARTPOSITION {start} MAXRESULTS {self.size}"})

    def ahead(self, page: Page) -> Sequence[Call]:
        """See `Pages.ahead`."""
        return ()


def _condition(name: str, value: str) -> str:
    if name == "since":
        return f"MetaData.LastUpdatedTime >= {quoted(value)}"
    if not _FIELD.fullmatch(name):
        raise ConfigError(f"row_filter names {name!r}, which is no field; write it as Balance=0")
    return f"{name} = {quoted(value)}"


def quoted(text: str) -> str:
    """A text as QuickBooks' query language takes it."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def query_stream(
    name: str,
    entity: str,
    columns: Sequence[Column],
    *,
    key: str = "id",
    cursor: str = "updated_at",
    params: Params = (),
    where: tuple[str, ...] = (),
    size: int = MOST,
    lag: timedelta = LAG,
    note: str = "",
) -> StreamSpec:
    """A stream that is one entity's objects."""
    return StreamSpec(
        name=name,
        path="query",
        records=f"QueryResponse.{entity}",
        primary_key=(key,),
        columns=tuple(columns),
        pages=QueryPages(entity=entity, where=where, size=size),
        incremental=Incremental(field=cursor, param="since", ordered=True, lag=lag),
        params=dict(params),
        edit=None,
        note=note,
    )


def _columns(**paths: str | tuple[Kind, str]) -> list[Column]:
    found = []
    for name, said in {"id": "Id", **paths, **_META}.items():
        kind, path = said if isinstance(said, tuple) else (Kind.TEXT, said)
        found.append(Column(name=name, kind=kind, path=path))
    return found


_META: Mapping[str, str | tuple[Kind, str]] = {
    "sync_token": "SyncToken",
    "created_at": (Kind.TIMESTAMP, "MetaData.CreateTime"),
    "updated_at": (Kind.TIMESTAMP, "MetaData.LastUpdatedTime"),
}
_CURRENCY = "CurrencyRef.value"
_TOTAL = (Kind.DECIMAL, "TotalAmt")
_BALANCE = (Kind.DECIMAL, "Balance")
_DATE = (Kind.DATE, "TxnDate")
_DUE = (Kind.DATE, "DueDate")
_LINES = (Kind.JSON, "Line")
_ACTIVE = (Kind.BOOLEAN, "Active")
_ALSO_INACTIVE = ("Active IN (true, false)",)
_VOIDED = "a voided one stays, with a total of 0 and a note that begins with Voided"

ENTITIES: Mapping[str, str] = {
    "customers": "Customer",
    "items": "Item",
    "invoices": "Invoice",
    "payments": "Payment",
    "bills": "Bill",
}
DELETABLE = ("invoices", "payments", "bills")
"""Lists have no deletes: a customer or an item is made inactive."""


def _customer() -> Sequence[Column]:
    return _columns(
        display_name="DisplayName",
        given_name="GivenName",
        family_name="FamilyName",
        company_name="CompanyName",
        email="PrimaryEmailAddr.Address",
        phone="PrimaryPhone.FreeFormNumber",
        currency=_CURRENCY,
        balance=_BALANCE,
        billing_address=(Kind.JSON, "BillAddr"),
        notes="Notes",
        active=_ACTIVE,
    )


def _item() -> Sequence[Column]:
    return _columns(
        name="Name",
        sku="Sku",
        type="Type",
        description="Description",
        unit_price=(Kind.DECIMAL, "UnitPrice"),
        purchase_cost=(Kind.DECIMAL, "PurchaseCost"),
        quantity_on_hand=(Kind.DECIMAL, "QtyOnHand"),
        taxable=(Kind.BOOLEAN, "Taxable"),
        active=_ACTIVE,
    )


def _invoice() -> Sequence[Column]:
    return _columns(
        number="DocNumber",
        date=_DATE,
        due_date=_DUE,
        customer_id="CustomerRef.value",
        customer_name="CustomerRef.name",
        email="BillEmail.Address",
        currency=_CURRENCY,
        total=_TOTAL,
        tax=(Kind.DECIMAL, "TxnTaxDetail.TotalTax"),
        balance=_BALANCE,
        lines=_LINES,
        note="PrivateNote",
    )


def _payment() -> Sequence[Column]:
    return _columns(
        date=_DATE,
        customer_id="CustomerRef.value",
        customer_name="CustomerRef.name",
        reference="PaymentRefNum",
        currency=_CURRENCY,
        total=_TOTAL,
        unapplied=(Kind.DECIMAL, "UnappliedAmt"),
        lines=_LINES,
        note="PrivateNote",
    )


def _bill() -> Sequence[Column]:
    return _columns(
        number="DocNumber",
        date=_DATE,
        due_date=_DUE,
        vendor_id="VendorRef.value",
        vendor_name="VendorRef.name",
        currency=_CURRENCY,
        total=_TOTAL,
        balance=_BALANCE,
        lines=_LINES,
        note="PrivateNote",
    )


def streams(minor_version: int) -> tuple[StreamSpec, ...]:
    """Everything that is read by query."""
    asked = (("minorversion", str(minor_version)),)
    lists = {"customers": _customer(), "items": _item()}
    documents = {"invoices": _invoice(), "payments": _payment(), "bills": _bill()}
    return (
        *(
            query_stream(name, ENTITIES[name], columns, params=asked, where=_ALSO_INACTIVE)
            for name, columns in lists.items()
        ),
        *(
            query_stream(name, ENTITIES[name], columns, params=asked, note=_VOIDED)
            for name, columns in documents.items()
        ),
    )


def is_deleted(record: Record) -> bool:
    """Whether change data capture tells of an object that is no more."""
    return str(record.get("status", "")).lower() == "deleted"
