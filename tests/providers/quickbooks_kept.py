"""What a QuickBooks company keeps: objects that refer to each other, and the rules they obey."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from threading import RLock
from typing import Any

from tests.providers.quickbooks_query import refuse

NAMES = (
    *("Customer", "Item", "Invoice", "SalesReceipt", "Payment", "Bill", "Account"),
    *("RefundReceipt", "CreditMemo"),
)
NUMBERED = ("Invoice", "SalesReceipt", "RefundReceipt", "CreditMemo")
PAYS = ("Bank", "Other Current Asset")
"""Types of accounts that money may be given back from."""
LISTS = ("Customer", "Item", "Account")


@dataclass
class Kept:
    """Objects by their kind and id, and what is left of those that were deleted."""

    clock: Callable[[], datetime]
    objects: dict[str, dict[str, dict]] = field(
        default_factory=lambda: {name: {} for name in NAMES}
    )
    deleted: list[tuple[str, dict]] = field(default_factory=list)
    unique_numbers: bool = True
    number: int = 0
    lock: Any = field(default_factory=RLock)

    def put(self, entity: str, **fields: Any) -> dict:
        """What a person does in the company: create or change an object behind our back."""
        with self.lock:
            held = self.objects[entity].get(str(fields.get("Id", "")))
            return self.store(entity, {**(held or {}), **fields}, changed=fields.get("MetaData"))

    def remove(self, entity: str, identity: str) -> None:
        """Delete an object: only change data capture tells of it."""
        with self.lock:
            gone = self.objects[entity].pop(identity)
            meta = {"LastUpdatedTime": self.instant()}
            tombstone = {"Id": gone["Id"], "status": "Deleted", "domain": "QBO", "MetaData": meta}
            self.deleted.append((entity, tombstone))

    def all(self, entity: str) -> list[dict]:
        return list(self.objects[entity].values())

    def validate(self, entity: str, body: dict) -> None:
        """Refuse what breaks a rule of its kind."""
        if entity == "Customer":
            self._unique("Customer", "DisplayName", body)
        elif entity == "Item":
            if not body.get("Name") or "IncomeAccountRef" not in body:
                raise refuse("2020", "Required param missing", "Name, IncomeAccountRef")
            self._refer("Account", body["IncomeAccountRef"])
            self._unique("Item", "Name", body)
        elif entity == "Payment":
            self._refer("Customer", body.get("CustomerRef"))
            for line in body.get("Line", ()):
                for linked in line.get("LinkedTxn", ()):
                    self._refer("Invoice", {"value": linked["TxnId"]})
        else:
            self._document(entity, body)

    def _document(self, entity: str, body: dict) -> None:
        if entity == "RefundReceipt":
            account = self._refer("Account", body.get("DepositToAccountRef"))
            if account["AccountType"] not in PAYS:
                raise refuse("6000", "A business validation error has occurred", "account type")
        if entity in ("Invoice", "CreditMemo") or "CustomerRef" in body:
            self._refer("Customer", body.get("CustomerRef"))
        lines = [one for one in body.get("Line", ()) if one["DetailType"] != "SubTotalLineDetail"]
        if not lines:
            raise refuse("2020", "Required param missing", "Line")
        for line in lines:
            detail = line["SalesItemLineDetail"]
            self._refer("Item", detail.get("ItemRef"))
            amount = Decimal(str(detail["Qty"])) * Decimal(str(detail["UnitPrice"]))
            if round(amount, 2) != Decimal(str(line["Amount"])):
                raise refuse("6070", "Amount calculation incorrect", "Qty * UnitPrice")
        number = body.get("DocNumber")
        if number and len(number) > 21:
            raise refuse("2050", "DocNumber is too long")
        twins = [
            one
            for one in self.objects[entity].values()
            if one.get("DocNumber") == number and one["Id"] != body.get("Id")
        ]
        if number and twins and self.unique_numbers:
            raise refuse("6140", "Duplicate Document Number Error", f"DocNumber={number}")

    def _unique(self, entity: str, name: str, body: dict) -> None:
        wanted = (body.get(name) or "").strip().lower()
        if not wanted or any(bad in wanted for bad in ":\t\n"):
            raise refuse("6000", "A business validation error has occurred", f"bad {name}")
        for one in self.objects[entity].values():
            if one[name].lower() == wanted and one["Id"] != body.get("Id"):
                raise refuse("6240", "Duplicate Name Exists Error", f"Id={one['Id']}")

    def _refer(self, entity: str, ref: dict | None) -> dict:
        if ref is None:
            raise refuse("2020", "Required param missing", f"{entity}Ref")
        if ref["value"] not in self.objects[entity]:
            raise refuse("2500", "Invalid Reference Id", f"{entity} {ref['value']}")
        return self.objects[entity][ref["value"]]

    def store(self, entity: str, body: dict, changed: dict | None = None) -> dict:
        """Keep it as one more version, with what QuickBooks itself says of it."""
        self.number += 1
        identity = body.get("Id") or str(self.number)
        held = self.objects[entity].get(identity)
        token = str(int(held["SyncToken"]) + 1) if held else "0"
        created = held["MetaData"]["CreateTime"] if held else self.instant()
        meta = {"CreateTime": created, "LastUpdatedTime": self.instant(), **(changed or {})}
        stored = {**body, "Id": identity, "SyncToken": token, "MetaData": meta}
        stored.pop("sparse", None)
        if entity in LISTS:
            stored.setdefault("Active", True)
        if entity in NUMBERED and "Line" in stored:
            stored = totalled(stored)
        self.objects[entity][identity] = stored
        if entity == "Payment":
            self._settle(stored)
        return stored

    def _settle(self, payment: dict) -> None:
        for line in payment.get("Line", ()):
            for linked in line.get("LinkedTxn", ()):
                invoice = self.objects["Invoice"][linked["TxnId"]]
                self.objects["Invoice"][linked["TxnId"]] = {
                    **invoice,
                    "Balance": round(invoice["Balance"] - line["Amount"], 2),
                    "SyncToken": str(int(invoice["SyncToken"]) + 1),
                }

    def instant(self) -> str:
        """The time, as it is spelled here."""
        return self.clock().isoformat(timespec="seconds").replace("+00:00", "Z")


def totalled(document: dict) -> dict:
    """With the line that QuickBooks adds, its sum, and what is still to be paid."""
    lines = [one for one in document["Line"] if one["DetailType"] != "SubTotalLineDetail"]
    whole = sum(Decimal(str(one["Amount"])) for one in lines)
    tax = Decimal(str((document.get("TxnTaxDetail") or {}).get("TotalTax", 0)))
    total = float(whole + tax)
    subtotal = {"Amount": float(whole), "DetailType": "SubTotalLineDetail"}
    return {**document, "Line": [*lines, subtotal], "TotalAmt": total, "Balance": total}


def voided(document: dict) -> dict:
    """Still there, worth nothing."""
    lines = [
        {**line, "Amount": 0, "SalesItemLineDetail": {**line["SalesItemLineDetail"], "Qty": 0}}
        for line in document["Line"]
        if line["DetailType"] == "SalesItemLineDetail"
    ]
    note = f"Voided {document.get('PrivateNote', '')}".strip()
    return {**document, "Line": lines, "PrivateNote": note, "TxnTaxDetail": {"TotalTax": 0}}
