"""MongoDB: whatever changes, fails and dies in between, the next good run brings everything."""

from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.contract import Deletes, Selection, SyncMode
from connectors.errors import ConnectorError
from connectors.testing.writing import UPSERT
from tests.contract.mongodb_system import Mongo
from tests.contract.moving import moved
from tests.providers.laws import DiedError

pytest_plugins = ["tests.servers.stores"]

START = datetime(2026, 3, 1, tzinfo=UTC)
CHANGES = st.lists(st.tuples(st.integers(1, 6), st.sampled_from("abx")), max_size=6)
"""Which document, and what it says then; x is that it is deleted."""

FAULTS: Sequence[Any] = [
    None,
    {"failCommands": ["aggregate"], "errorCode": 6},
    {"failCommands": ["find"], "errorCode": 6},
    {"failCommands": ["getMore"], "errorCode": 6},
    {"failCommands": ["insert", "update", "bulkWrite"], "errorCode": 6},
    {"failCommands": ["commitTransaction"], "errorCode": 6},
]
ROUNDS = st.lists(
    st.tuples(CHANGES, CHANGES, st.sampled_from(FAULTS), st.none() | st.integers(0, 4)),
    min_size=1,
    max_size=3,
)
"""Changes before and during a run, which commands fail in it, and when its process dies."""


class Moving:
    """A collection, and its copy beside it; ``changed_at`` rises with every change."""

    def __init__(self, there: Mongo, batch_rows: int) -> None:
        self.there, self.batch_rows = there, batch_rows
        self.changed_at = START
        for name in ("orders", "shop.orders", "shop._sync_state"):
            there.database[name].drop()
        there.database["orders"].insert_one({"_id": 0, "note": "", "changed_at": START})

    def change(self, changes: Sequence[tuple[int, str]], *, deletes: bool) -> None:
        for identity, note in changes:
            self.changed_at += timedelta(seconds=1)
            document = {"note": note, "changed_at": self.changed_at}
            if note == "x" and deletes:
                self.there.database["orders"].delete_one({"_id": identity})
            else:
                self.there.database["orders"].replace_one({"_id": identity}, document, upsert=True)

    def fail(self, data: Any) -> None:
        mode = {"times": 2} if data else "off"
        command: Any = {"configureFailPoint": "failCommand", "mode": mode, "data": data or {}}
        self.there.client.admin.command(command)

    def run(self, execution: str, before: Any) -> None:
        with closing(self.there.source()) as source, closing(self.there.destination()) as to:
            stream = source.stream("orders")
            target = replace(
                UPSERT,
                execution=execution,
                schema=stream.schema,
                primary_key=("_id",),
                cursor_field=stream.cursor_field,
                deletes=Deletes.HARD,
            )
            selection = Selection(
                stream=stream, mode=SyncMode.INCREMENTAL, batch_rows=self.batch_rows
            )
            moved(source, to, selection, target, before=before)

    def found(self, name: str) -> dict[int, str]:
        return {one["_id"]: one["note"] for one in self.there.database[name].find()}


@pytest.mark.parametrize("reading", ["cursor", "changes"])
def test_changes_faults_and_crashes_lose_nothing(mongodb_server: str, reading: str) -> None:
    """R70, R152; a change stream also tells what is deleted."""
    fields = {"orders": {"note": "text", "changed_at": "instant"}}
    there = Mongo(mongodb_server, reading=reading, fields=fields)

    @settings(max_examples=6, deadline=None)
    @given(rounds=ROUNDS, batch_rows=st.integers(1, 4))
    def proven(rounds: list[Any], batch_rows: int) -> None:
        moving = Moving(there, batch_rows)
        deletes = reading == "changes"
        for number, (earlier, meanwhile, fault, dies_at) in enumerate(rounds):
            moving.change(earlier, deletes=deletes)

            def happens(
                batch: int, now: Any = meanwhile, fails: Any = fault, at: int | None = dies_at
            ) -> None:
                if batch == at:
                    raise DiedError
                if batch == 1:
                    moving.fail(None)
                    moving.change(now, deletes=deletes)
                    moving.fail(fails)

            moving.fail(fault)
            with suppress(ConnectorError, DiedError):
                moving.run(f"e{number}", happens)
            moving.fail(None)
        moving.change([(9, "last")], deletes=deletes)
        moving.run("good", lambda batch: None)

        assert moving.found("shop.orders") == moving.found("orders")

    with closing(there):
        proven()
