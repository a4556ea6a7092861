"""Types in Arrow: what a field says about itself, and what holds both of two types."""

from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.arrow import (
    Digits,
    Field,
    Logical,
    Native,
    digits_of,
    evolved,
    field,
    length_of,
    logical_of,
    native_of,
    spelled,
    storage,
    widened,
)
from connectors.errors import ConfigError


def decimal(precision: int | None = None, scale: int = 0) -> Field:
    digits = None if precision is None else Digits(precision=precision, scale=scale)
    return field("c", pa.string(), logical=Logical.DECIMAL, digits=digits)


def text(length: int | None = None) -> Field:
    return field("c", pa.string(), length=length)


def plain(type: pa.DataType) -> Field:
    return field("c", type)


def test_a_field_tells_back_what_was_said_about_it():
    told = field(
        "c",
        pa.string(),
        native=Native(dialect="postgresql", type="numeric(12,-2)"),
        logical=Logical.DECIMAL,
        digits=Digits(precision=12, scale=-2),
        length=9,
    )

    assert native_of(told) == Native(dialect="postgresql", type="numeric(12,-2)")
    assert logical_of(told) is Logical.DECIMAL
    assert digits_of(told) == Digits(precision=12, scale=-2)
    assert length_of(told) == 9


def test_a_field_of_another_maker_says_nothing_and_needs_nothing():
    bare = pa.field("c", pa.int64())

    assert native_of(bare) is None
    assert logical_of(bare) is None
    assert digits_of(bare) is None
    assert length_of(bare) is None
    assert field("c", pa.int64()).equals(bare, check_metadata=True)


def test_arrows_own_decimals_are_decimals_with_digits():
    own = pa.field("c", pa.decimal128(12, 2))

    assert logical_of(own) is Logical.DECIMAL
    assert digits_of(own) == Digits(precision=12, scale=2)
    assert spelled(own) == "decimal(12,2)"


def test_a_logical_word_from_a_later_version_is_other():
    assert logical_of(pa.field("c", pa.string(), metadata={"logical": "colour"})) is Logical.OTHER


@pytest.mark.parametrize(
    ("present", "arriving", "wide"),
    [
        (plain(pa.int16()), plain(pa.int32()), plain(pa.int32())),
        (plain(pa.int64()), plain(pa.int16()), plain(pa.int64())),
        (plain(pa.int64()), plain(pa.uint32()), plain(pa.int64())),
        (plain(pa.int64()), decimal(12, 2), decimal(22, 2)),
        (decimal(), plain(pa.int64()), decimal()),
        (decimal(12, 2), decimal(10, 4), decimal(14, 4)),
        (decimal(12, 2), decimal(5, 1), decimal(12, 2)),
        (decimal(12, 2), decimal(), decimal()),
        (plain(pa.float32()), plain(pa.float64()), plain(pa.float64())),
        (plain(pa.float64()), plain(pa.int32()), plain(pa.float64())),
        (text(3), text(7), text(7)),
        (text(3), text(), text()),
        (text(), text(7), text()),
        (plain(pa.date32()), plain(pa.timestamp("us")), plain(pa.timestamp("us"))),
        (plain(pa.timestamp("us")), plain(pa.timestamp("ms")), plain(pa.timestamp("us"))),
        (plain(pa.string()), plain(pa.large_string()), plain(pa.string())),
        (plain(pa.list_(pa.int32())), plain(pa.list_(pa.int64())), plain(pa.list_(pa.int64()))),
        (text(), field("c", pa.string(), logical=Logical.ENUM), text()),
    ],
)
def test_a_column_widens_to_what_holds_both(present: Field, arriving: Field, wide: Field):
    got = widened(present, arriving)

    assert got.equals(wide, check_metadata=True)
    assert widened(got, arriving).equals(got, check_metadata=True)


@pytest.mark.parametrize(
    ("present", "arriving"),
    [
        (text(), plain(pa.int64())),
        (plain(pa.int64()), text()),
        (plain(pa.int64()), plain(pa.float64())),
        (plain(pa.float64()), plain(pa.int64())),
        (plain(pa.float64()), decimal(5, 2)),
        (plain(pa.uint64()), plain(pa.int64())),
        (plain(pa.date32()), plain(pa.timestamp("us", "UTC"))),
        (plain(pa.timestamp("us")), plain(pa.timestamp("us", "UTC"))),
        (plain(pa.timestamp("us")), plain(pa.timestamp("ns"))),
        (plain(pa.bool_()), plain(pa.int16())),
        (text(), field("c", pa.string(), logical=Logical.JSON)),
        (field("c", pa.string(), logical=Logical.UUID), text()),
        (plain(pa.list_(pa.int32())), plain(pa.list_(pa.string()))),
        (plain(pa.binary()), text()),
    ],
)
def test_types_that_would_alter_values_are_a_conflict_with_a_remedy(
    present: Field, arriving: Field
):
    with pytest.raises(ConfigError) as caught:
        widened(present, arriving)

    said = str(caught.value)
    assert "'c'" in said
    assert spelled(present) in said
    assert spelled(arriving) in said
    assert "cast it" in said


DIGITS = st.tuples(st.integers(1, 30), st.integers(0, 20)).map(
    lambda bounds: Digits(precision=bounds[0] + bounds[1], scale=bounds[1])
)


def largest(digits: Digits) -> Decimal:
    return Decimal((0, (9,) * digits.precision, -digits.scale))


@settings(deadline=None)
@given(DIGITS, DIGITS)
def test_a_widened_decimal_holds_the_largest_of_both(one: Digits, two: Digits):
    wide = digits_of(widened(decimal(one.precision, one.scale), decimal(two.precision, two.scale)))

    assert wide is not None
    for digits in (one, two):
        assert wide.scale >= digits.scale
        assert largest(wide).copy_abs() >= largest(digits)


INTEGERS = st.sampled_from([pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint32()])


@settings(deadline=None)
@given(INTEGERS, INTEGERS)
def test_widening_integers_holds_every_value_or_refuses(one: pa.DataType, two: pa.DataType):
    try:
        wide = widened(plain(one), plain(two)).type
    except ConfigError:
        assert pa.types.is_signed_integer(one) != pa.types.is_signed_integer(two)
        return

    for type in (one, two):
        bits = type.bit_width - (1 if pa.types.is_signed_integer(type) else 0)
        edges = [2**bits - 1, -(2**bits) if pa.types.is_signed_integer(type) else 0]
        assert pa.array(edges, type).cast(wide).to_pylist() == edges


def test_a_schema_evolves_by_adding_and_widening_and_loses_nothing():
    present = pa.schema([field("a", pa.int32(), nullable=False), field("gone", pa.string())])
    arriving = pa.schema([field("new", pa.bool_(), nullable=False), field("a", pa.int64())])

    got = evolved(present, arriving)

    assert got.names == ["a", "gone", "new"]
    assert got.field("a").type == pa.int64()
    assert got.field("a").nullable
    assert got.field("new").nullable


def test_a_native_type_stays_only_as_long_as_it_is_true():
    small = field("c", pa.int32(), native=Native(dialect="postgresql", type="integer"))
    large = field("c", pa.int64(), native=Native(dialect="postgresql", type="bigint"))

    assert native_of(widened(small, large)) == native_of(large)
    assert native_of(widened(large, small)) == native_of(large)
    assert native_of(widened(small, decimal(30, 5))) is None


def test_extension_types_are_seen_through():
    assert storage(pa.uuid()) == pa.binary(16)
    assert storage(pa.list_(pa.json_())) == pa.list_(pa.string())
    assert storage(pa.int64()) == pa.int64()
