"""What a mapping makes of records, and what it refuses."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from connectors.arrow import Digits, Logical, digits_of, logical_of
from connectors.arrow import field as column
from connectors.contract import Batch, Stream
from connectors.errors import ConfigError
from sync_pipelines.engine.mapping import Mapper
from sync_pipelines.model.mapping import parse_mapping

SCHEMA = pa.schema(
    [
        column("id", pa.int64()),
        column("first", pa.string()),
        column("last", pa.string()),
        column("net", pa.string(), logical=Logical.DECIMAL, digits=Digits(precision=8, scale=2)),
        column("many", pa.int32()),
        column("at", pa.timestamp("us", "UTC")),
        column("paid", pa.string()),
        column("rate", pa.float64()),
    ]
)
STREAM = Stream(name="orders", schema=SCHEMA, primary_key=("id",), cursor_field="at")
AT = datetime(2026, 3, 2, 23, 30, 15, tzinfo=UTC)
RECORD = {
    "id": 1,
    "first": " Ada ",
    "last": "Löwe",
    "net": "10.50",
    "many": 7,
    "at": AT,
    "paid": "12.5",
    "rate": 0.5,
}


def table_of(batch: Batch) -> pa.Table:
    assert isinstance(batch.data, pa.Table)
    return batch.data


def mapped(written, *records):
    mapper = Mapper.of(parse_mapping(written), STREAM)
    return mapper.apply(Batch(data=pa.Table.from_pylist(list(records), schema=SCHEMA)))


def value(expression, **record):
    """What an expression makes of one record, through the whole mapper."""
    batch = mapped({"expression": {"made": expression}}, RECORD | record)
    assert not batch.rejected
    return batch.data.column("made").to_pylist()[0]


@pytest.mark.parametrize(
    ("expression", "made"),
    [
        ("concat(trim(first), ' ', upper(last))", "Ada LÖWE"),
        ("net * 1.19", "12.4950"),
        ("round(net * 1.19, 2)", "12.50"),
        ("round(-2.5)", "-3"),
        ("net + many", "17.50"),
        ("many / 2", "3.500000000"),
        ("round(net / 3, 5)", "3.50000"),
        ("round(1 / 3, 6)", "0.333333"),
        ("many % 4", 3),
        ("-many + 1", -6),
        ("abs(-many)", 7),
        ("many * rate", 3.5),
        ("floor(net)", "10"),
        ("ceil(rate)", 1.0),
        ("year(at)", 2026),
        ("hour(at)", 23),
        ("date(at)", date(2026, 3, 2)),
        ("at >= timestamp('2026-03-02T23:30:15Z')", True),
        ("at < timestamp('2026-03-02 23:30:15')", False),
        ("at > timestamp('2026-03-02')", True),
        ("timestamp('2026-03-02T12:00:00+02:00')", datetime(2026, 3, 2, 10, tzinfo=UTC)),
        ("if(net >= 10 and last = 'Löwe', 'large', 'small')", "large"),
        ("replace(last, 'ö', 'oe')", "Loewe"),
        ("substring(last, 2, 2)", "öw"),
        ("length(last)", 4),
        ("nullif(last, 'Löwe')", None),
    ],
)
def test_an_expression_computes_exactly(expression, made):
    assert value(expression) == made


def test_null_is_what_most_things_make_of_null():
    assert value("net * 2", net=None) is None
    assert value("concat(first, '-', last)", first=None) == "-Löwe"
    assert value("coalesce(first, last)", first=None) == "Löwe"
    assert value("if(many > 1, 'more', 'less')", many=None) == "less"
    assert value("is_null(many)", many=None) is True
    assert value("timestamp(paid)", paid=None) is None


def test_fields_are_chosen_renamed_added_and_cast_in_their_order():
    written = {
        "omit": ["first", "rate", "many", "at"],
        "rename": {"last": "surname"},
        "constant": {"shop": "north"},
        "cast": {"paid": "decimal(6,3)", "id": "text", "net": "float"},
    }
    stream = Stream(name="orders", schema=SCHEMA, primary_key=("id",))
    mapper = Mapper.of(parse_mapping(written), stream)

    data = table_of(mapper.apply(Batch(data=pa.Table.from_pylist([RECORD], schema=SCHEMA))))

    assert data.to_pylist() == [
        {"id": "1", "surname": "Löwe", "net": 10.5, "paid": "12.500", "shop": "north"}
    ]
    paid = data.schema.field("paid")
    assert (logical_of(paid), digits_of(paid)) == (Logical.DECIMAL, Digits(precision=6, scale=3))
    assert mapper.schema.equals(data.schema, check_metadata=True)


def test_a_record_that_does_not_fit_is_rejected_alone_with_its_content_as_payload():
    records = [RECORD | {"id": n, "paid": str(n)} for n in range(1, 101)]
    records[36]["paid"] = "not a number"
    records[99]["paid"] = ""

    batch = mapped({"cast": {"paid": "integer"}}, *records)

    assert batch.data.column("paid").to_pylist() == [n for n in range(1, 100) if n != 37]
    assert [rejected.key for rejected in batch.rejected] == ["37", "100"]
    assert batch.rejected[0].reason == "mapping.cast.paid: the value is no integer"
    assert "not a number" not in repr(batch.rejected[0])
    payload = json.loads(batch.rejected[0].payload)
    assert (payload["id"], payload["paid"], payload["net"]) == (37, "not a number", "10.50")


@pytest.mark.parametrize(
    "expression", ["many / (many - 7)", "many % (many - 7)", "many * 9223372036854775807"]
)
def test_a_division_by_zero_or_an_overflow_is_an_error_of_the_record(expression):
    batch = mapped({"expression": {"made": expression}}, RECORD)

    assert batch.data.num_rows == 0
    assert [rejected.key for rejected in batch.rejected] == ["1"]


@pytest.mark.parametrize(
    ("kind", "text", "made"),
    [
        ("integer", " 12 ", 12),
        ("float", "1e3", 1000.0),
        ("boolean", "true", True),
        ("date", "2026-02-28", date(2026, 2, 28)),
        ("timestamp", "2026-02-28 10:00:00", datetime(2026, 2, 28, 10)),  # noqa: DTZ001
        ("timestamptz", "2026-02-28T10:00:00+01:00", datetime(2026, 2, 28, 9, tzinfo=UTC)),
        ("decimal(4,1)", "-12.5", Decimal("-12.5")),
    ],
)
def test_text_is_cast_to(kind, text, made):
    batch = mapped({"cast": {"paid": kind}}, RECORD | {"paid": text})

    (found,) = batch.data.column("paid").to_pylist()
    assert (Decimal(found) if isinstance(made, Decimal) else found) == made


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("integer", "1.5"),
        ("decimal(4,1)", "1.25"),
        ("decimal(4,1)", "12345"),
        ("date", "28.02.2026"),
        ("timestamptz", "2026-02-28T10:00:00"),
        ("float", "NaN?"),
    ],
)
def test_a_cast_that_would_alter_the_value_rejects_the_record(kind, text):
    batch = mapped({"cast": {"paid": kind}}, RECORD | {"paid": text})

    assert (batch.data.num_rows, len(batch.rejected)) == (0, 1)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"rename": {"lst": "x"}}, "mapping.rename: there is no field 'lst'; did you mean 'last'"),
        ({"expression": {"x": "upper(fist)"}}, "mapping.expression.x: there is no field 'fist'"),
        ({"cast": {"surname": "text"}}, "mapping.cast.surname: there is no field 'surname'"),
        ({"omit": ["id"]}, "'id' is part of the primary key"),
        ({"omit": ["at"]}, "'at' is the cursor"),
        ({"constant": {"last": "x"}}, "two fields would be called 'last'"),
        ({"rename": {"first": "last"}}, "two fields would be called 'last'"),
        ({"expression": {"x": "upper(many)"}}, r"no function takes these types \(many is int32\)"),
        ({"expression": {"x": "last = 1"}}, "no function takes these types"),
        ({"expression": {"x": "null"}}, "mapping.expression.x is always NULL"),
        ({"expression": {"x": "round(net, many)"}}, "round takes only written values"),
        ({"cast": {"many": "date"}}, "mapping.cast.many: int32 cannot become date"),
    ],
)
def test_what_no_record_could_satisfy_is_refused_before_anything_is_read(written, said):
    with pytest.raises(ConfigError, match=said):
        Mapper.of(parse_mapping(written), STREAM)


def test_a_renamed_key_and_cursor_go_by_their_new_names():
    mapper = Mapper.of(parse_mapping({"rename": {"id": "order_id", "at": "changed_at"}}), STREAM)

    assert (mapper.primary_key, mapper.cursor_field) == (("order_id",), "changed_at")


def test_a_column_that_a_batch_lacks_is_null_and_one_that_it_brings_besides_goes_on():
    data = pa.table({"id": [1], "extra": ["new"]})
    mapper = Mapper.of(parse_mapping({"rename": {"last": "surname"}}), STREAM)

    (found,) = table_of(mapper.apply(Batch(data=data))).to_pylist()

    assert (found["id"], found["surname"], found["extra"]) == (1, None, "new")
