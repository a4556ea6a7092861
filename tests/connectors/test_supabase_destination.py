"""Supabase through its API as a destination: the contract as far as it goes, and beyond."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import ClassVar

import pyarrow as pa
import pytest

from connectors import registry
from connectors.arrow import Logical, field
from connectors.contract import (
    Batch,
    Deletes,
    Encoding,
    Rejection,
    SyncMode,
    WriteMode,
)
from connectors.errors import ConfigError, TooManyDeletesError, TransientError
from connectors.http.outside import Outside
from connectors.rejected import read_rejected
from connectors.schema_policy import SchemaPolicy
from connectors.sql.destination import SqlDestination
from connectors.testing.destination_suite import DestinationContract
from connectors.testing.fake_api import FakeApi, first, html_page
from connectors.testing.features import Feature
from connectors.testing.rows import row, table
from connectors.testing.writing import UPSERT, put, seen, state, stored, writing
from tests.connectors.test_woocommerce import WooProvider
from tests.providers.laws import Place, World, prove
from tests.providers.postgrest import FAULTS, KEY, Project, done_but_unheard, timed_out
from tests.providers.supabase import ORDERS, Base, DestinationSystem


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with FakeApi() as api:
        yield api


@pytest.fixture
def project(api: FakeApi, postgres_url: str) -> Project:
    return Base(api, postgres_url).project


ONE_MODE = "through the API a project takes upserts only"
THEIRS = "tables and columns are made by who owns the project"
CANNOT = {
    "test_append": ONE_MODE,
    "test_replace": ONE_MODE,
    "test_one_writer_commits_many_times": ONE_MODE,
    "test_an_empty_source_does_not_empty": ONE_MODE,
    "test_what_is_written_as_a_whole": ONE_MODE,
    "test_types_that_change_in_the_middle": ONE_MODE,
    "test_a_whole_read_replaces_what_earlier": ONE_MODE,
    "test_another_sync_of_the_dataset_keeps": ONE_MODE,
    "test_a_column_is_widened": THEIRS,
    "test_a_type_that_no_column_can_take": THEIRS,
}
CASTS = {"bytes", "times of day", "short floats"}
"""Values whose type a list of rows in JSON no longer tells, although they are stored exactly."""


class TestADestination(DestinationContract):
    lacks: ClassVar = {
        Feature.DROP: THEIRS,
        Feature.NOT_A_NUMBER: "JSON knows no number that is none, so it is rejected when read",
        Feature.JSON_BYTES: "JSON inside of JSON is spelled anew when it is read",
        Feature.LISTS: "lists are read back as JSON",
    }

    @pytest.fixture(autouse=True)
    def only_what_it_can(self, request: pytest.FixtureRequest) -> None:
        """Visible reasons for what is skipped."""
        name, params = request.node.originalname, getattr(request.node, "callspec", None)
        for begins, reason in CANNOT.items():
            if name.startswith(begins):
                pytest.skip(reason)
        said = params.params if params else {}
        usual = said.get("usual")
        mode = said.get("mode") if usual is None else usual.write_mode
        if mode is not None and mode is not WriteMode.UPSERT:
            pytest.skip(ONE_MODE)
        if "case" in said and said["case"].name in CASTS:
            pytest.skip("read back as text")

    @pytest.fixture
    def system(self, api: FakeApi, postgres_url: str) -> DestinationSystem:
        return DestinationSystem(api, postgres_url)


@pytest.mark.parametrize("mode", [SyncMode.INCREMENTAL])
def test_a_shop_s_orders_arrive_in_a_project_whatever_fails_on_either_side(api, postgres_url, mode):
    """R152: WooCommerce to Supabase, with faults and deaths in both."""

    def to(world: World) -> Place:
        system = DestinationSystem(theirs, postgres_url)
        outside = Outside(now=lambda: world.now, chance=lambda: 0.5, sleep=world.sleep)
        theirs.clock = lambda: world.now
        return Place(
            destination=system.open(outside),
            found=lambda: system.records("shop", "orders") or (),
            api=theirs,
            faults=FAULTS,
        )

    with FakeApi() as theirs:
        prove(api, lambda: WooProvider(api, "orders"), mode=mode, examples=12, deletes=False, to=to)


@pytest.fixture
def system(api: FakeApi, postgres_url: str) -> DestinationSystem:
    return DestinationSystem(api, postgres_url)


def test_what_is_already_there_is_not_sent_again(system):
    with closing(system.open()) as destination:
        put(destination, UPSERT, row(1), row(2), mark="one")
        system.project.writes.clear()
        put(destination, replace(UPSERT, execution="second"), row(1), row(2), mark="two")

    assert [request.places["table"] for request in system.project.writes] == ["_sync_state"]


def test_data_whose_state_was_not_moved_are_written_once_more_and_change_nothing(system):
    """A process that dies between the two begins again at the state before."""
    with closing(system.open()) as destination:
        put(destination, UPSERT, row(1), mark="one")
        second = replace(UPSERT, execution="second")
        with writing(destination, second) as writer:
            writer.write(Batch(data=table(row(2), row(3))))
            # The state is asked for, then rows, then they are written, and then it breaks.
            system.project.api.at(4, *[timed_out] * 9)
            with pytest.raises(TransientError):
                writer.commit(state("two"))
        system.project.api.calm()
        half = stored(system)
        with writing(destination, second) as writer:
            before = writer.committed.state
            writer.write(Batch(data=table(row(2), row(3))))
            writer.commit(state("two"), finished=True)

    assert half == stored(system) == [row(1), row(2), row(3)]
    assert before == state("one")


@pytest.mark.parametrize("nth", range(1, 7))
def test_an_answer_that_is_lost_is_no_harm(system, nth):
    """What was done is done again, and the state that is there is recognised as ours."""
    with closing(system.open(Outside(sleep=lambda seconds: None))) as destination:
        put(destination, UPSERT, row(1), mark="one")
        with writing(destination, replace(UPSERT, execution="second")) as writer:
            writer.write(Batch(data=table(row(1, seconds=5, note="changed"), row(2))))
            system.project.api.at(nth, done_but_unheard)
            done = writer.commit(state("two"), finished=True)

    assert done.state == state("two")
    assert stored(system) == [row(1, seconds=5, note="changed"), row(2)]


@pytest.mark.parametrize("nth", range(1, 7))
def test_a_page_for_people_is_no_answer_even_to_a_write(system, nth):
    """A proxy's page with status 200: nothing was done, although it looks so."""
    with closing(system.open(Outside(sleep=lambda seconds: None))) as destination:
        put(destination, UPSERT, row(1), mark="one")
        with writing(destination, replace(UPSERT, execution="second")) as writer:
            writer.write(Batch(data=table(row(1, seconds=5, note="changed"), row(2))))
            system.project.api.at(nth, html_page)
            writer.commit(state("two"), finished=True)

    assert stored(system) == [row(1, seconds=5, note="changed"), row(2)]


def test_a_state_that_somebody_moves_at_the_last_moment_is_not_overwritten(system):
    """R74."""
    theirs = "UPDATE shop._sync_state SET token = 'theirs'"
    with closing(system.open()) as destination:
        put(destination, UPSERT, row(1), mark="one")
        with writing(destination, replace(UPSERT, execution="second")) as writer:
            # The state is looked at, and then moved.
            system.project.api.at(2, first(lambda: system.project.run(theirs)))
            with pytest.raises(TransientError, match="was moved"):
                writer.commit(state("two"))

        assert seen(destination, replace(UPSERT, execution="third")).state == state("one")


def test_a_state_of_the_api_is_continued_by_the_database_and_back(system):
    """The state lies beside the data, in the same table of the same shape."""
    direct = registry.get("supabase").open_destination({"database": system.project.url})
    with closing(system.open()) as destination, closing(direct):
        put(destination, UPSERT, row(1), mark="one")
        assert isinstance(direct, SqlDestination)
        with writing(direct, replace(UPSERT, execution="second")) as writer:
            assert writer.committed.state == state("one")
        put(direct, replace(UPSERT, execution="second"), row(2), mark="two")

        with writing(destination, replace(UPSERT, execution="third")) as writer:
            assert writer.committed.state == state("two")


def test_a_table_that_is_missing_is_told_with_its_columns(api, project):
    destination = registry.get("supabase").open_destination(
        {"url": api.url, "key": KEY, "allow_private_addresses": True}
    )

    with pytest.raises(ConfigError, match=r"shop\.orders .* id, changed_at, note"):
        put(destination, UPSERT, row(1))
    destination.close()


def test_a_missing_state_table_is_told_with_the_statement_that_makes_it(api, project):
    project.run(ORDERS.format("shop.") + "; DROP TABLE shop._sync_state")
    destination = registry.get("supabase").open_destination(
        {"url": api.url, "key": KEY, "allow_private_addresses": True}
    )

    with pytest.raises(ConfigError, match=r"create table shop\._sync_state") as told:
        put(destination, UPSERT, row(1))

    said = str(told.value)
    project.run(said[said.index("create table") : said.index(");") + 2])
    put(destination, UPSERT, row(1))
    destination.close()


@pytest.mark.parametrize("mode", [WriteMode.APPEND, WriteMode.REPLACE])
def test_other_modes_are_refused_with_what_takes_them(system, mode):
    with closing(system.open()) as destination, pytest.raises(ConfigError, match="database"):
        destination.open(replace(UPSERT, write_mode=mode), Encoding.ARROW)


def test_too_many_deletions_are_refused_before_anything_is_sent(system):
    whole = replace(UPSERT, complete=True, deletes=Deletes.HARD)
    with closing(system.open()) as destination:
        put(destination, whole, *(row(n) for n in range(1, 51)))
        system.project.writes.clear()
        second = replace(whole, execution="second")

        with pytest.raises(TooManyDeletesError, match="11 of 50"):
            put(destination, second, row(1, 9, note="new"), *(row(n) for n in range(2, 40)))

    assert system.project.writes == []


BAD = Rejection(key="7", reason="no 'number'", payload="{}")


def test_a_missing_table_of_rejected_records_is_told_with_the_statement_that_makes_it(system):
    """R65: nothing was sent, and the state has not moved past the record."""
    system.project.run("DROP TABLE shop._rejected")
    batch = Batch(data=table(row(1)), rejected=(BAD,))
    with closing(system.open()) as destination:
        with writing(destination, UPSERT) as writer:
            writer.write(batch)
            with pytest.raises(ConfigError, match=r"create table shop\._rejected") as told:
                writer.commit(state("one"), finished=True)
        nothing = list(system.project.writes)

        said = str(told.value)
        system.project.run(said[said.index("create table") : said.index(");") + 2])
        with writing(destination, UPSERT) as writer:
            writer.write(batch)
            writer.commit(state("one"), finished=True)

        [kept] = read_rejected(destination, "shop", owner=UPSERT.owner)

    assert nothing == []
    assert (kept.key, kept.reason, stored(system)) == ("7", "no 'number'", [row(1)])


def test_a_project_without_that_table_is_written_as_long_as_nothing_is_rejected(system):
    system.project.run("DROP TABLE shop._rejected")
    whole = replace(UPSERT, complete=True, deletes=Deletes.HARD)
    with closing(system.open()) as destination:
        put(destination, whole, row(1))

    assert stored(system) == [row(1)]


@pytest.mark.parametrize("nth", range(1, 13))
def test_rejected_records_are_there_once_whatever_answer_is_lost(system, nth):
    with closing(system.open(Outside(sleep=lambda seconds: None))) as destination:
        for execution in ("first", "second"):
            with writing(destination, replace(UPSERT, execution=execution)) as writer:
                writer.write(Batch(data=table(row(1)), rejected=(BAD,)))
                system.project.api.at(nth, done_but_unheard)
                writer.commit(state(execution), finished=True)
                system.project.api.calm()

        [kept] = read_rejected(destination, "shop", owner=UPSERT.owner)

    assert kept.execution == "second"


def test_a_record_that_is_sent_again_is_kept_until_it_has_arrived(system):
    """A process that dies before the state moves finds the record again."""
    with closing(system.open()) as destination:
        with writing(destination, UPSERT) as writer:
            writer.write(Batch(data=table(row(1)), rejected=(BAD,)))
            writer.commit(state("one"), finished=True)
        [kept] = read_rejected(destination, "shop", owner=UPSERT.owner)
        again = replace(UPSERT, execution="second", redriven=(kept.id,))
        with writing(destination, again) as writer:
            writer.write(Batch(data=table(row(7))))
            # The state, the row, its upsert; then nothing is answered any more.
            system.project.api.at(3, *[timed_out] * 9)
            with pytest.raises(TransientError):
                writer.commit(None, finished=True)
        system.project.api.calm()
        half = read_rejected(destination, "shop", owner=UPSERT.owner)
        with writing(destination, again) as writer:
            writer.write(Batch(data=table(row(7))))
            writer.commit(None, finished=True)

        left = read_rejected(destination, "shop", owner=UPSERT.owner)

    assert [one.id for one in half] == [kept.id]
    assert (list(left), stored(system)) == ([], [row(1), row(7)])


def test_a_whole_read_clears_away_what_earlier_ones_had_rejected(system):
    whole = replace(UPSERT, complete=True)
    with closing(system.open()) as destination:
        for execution, rejected in (("first", (BAD,)), ("second", ())):
            with writing(destination, replace(whole, execution=execution)) as writer:
                writer.write(Batch(data=table(row(1)), rejected=rejected))
                writer.commit(None, finished=True)

        assert list(read_rejected(destination, "shop", owner=UPSERT.owner)) == []


def test_a_type_of_the_project_s_own_is_not_compared(system):
    """Only PostgreSQL knows whether it takes what arrives."""
    system.project.run(
        "CREATE TYPE shop.mood AS ENUM ('note 1', 'sad');"
        "CREATE TABLE shop.orders (id bigint PRIMARY KEY, changed_at timestamptz, note shop.mood)"
    )
    frozen = replace(UPSERT, schema_policy=SchemaPolicy.FREEZE)
    with closing(system.open()) as destination:
        put(destination, frozen, row(1))
        with pytest.raises(ConfigError, match="mood"):
            put(destination, replace(frozen, execution="second"), row(2, note="glad"))

    assert [one["note"] for one in system.records("shop", "orders") or ()] == ["note 1"]


def test_what_the_whole_read_brought_and_told_to_be_gone_is_gone(system):
    whole = replace(UPSERT, complete=True, deletes=Deletes.HARD)
    gone = table(row(2)).select(["id"])
    with closing(system.open()) as destination:
        put(destination, whole, row(1), row(2), row(3))
        with writing(destination, replace(whole, execution="second")) as writer:
            writer.write(Batch(data=table(row(1), row(2))))
            writer.commit(state("half"))
            writer.write(Batch(data=table(row(4)), deleted=gone))
            done = writer.commit(state("two"), finished=True)

    assert (done.counts.deleted, stored(system)) == (2, [row(1), row(4)])


def test_a_column_that_rounds_what_arrives_is_told_before_the_state_moves(system):
    """The API tells of no column how many digits it keeps."""
    priced = "CREATE TABLE shop.orders (id bigint PRIMARY KEY, total {})"
    system.project.run(priced.format("numeric(8,2)"))
    fields = [pa.field("id", pa.int64()), field("total", pa.string(), logical=Logical.DECIMAL)]
    fits, finer = (
        pa.Table.from_pylist([{"id": number, "total": total}], schema=pa.schema(fields))
        for number, total in ((1, "1.50"), (2, "2.005"))
    )
    target = replace(UPSERT, schema=fits.schema, cursor_field=None)
    with closing(system.open()) as destination:
        with writing(destination, target) as writer:
            writer.write(Batch(data=fits))
            writer.commit(state("one"))
            writer.write(Batch(data=finer))
            with pytest.raises(ConfigError, match=r"'total'.* has rounded") as told:
                writer.commit(state("two"), finished=True)
        half = seen(destination, target).state

        said = str(told.value)
        system.project.run(said[said.index("alter table") :])
        with writing(destination, target) as writer:
            writer.write(Batch(data=finer))
            writer.commit(state("two"), finished=True)

    totals = [str(one["total"]) for one in system.records("shop", "orders") or ()]
    assert (half, sorted(totals)) == (state("one"), ["1.50", "2.005"])
