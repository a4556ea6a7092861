"""Names and URLs of databases: what is understood, what is shown, what is refused."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.contract import State
from connectors.errors import ConfigError
from connectors.registry import get
from connectors.sql.config import DatabaseConfig, Dialect
from connectors.sql.cursor import Kind, Mark, marked
from connectors.sql.names import TableName, literal, quoted, split

PARTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)


@settings(deadline=None)
@given(st.none() | PARTS.filter(lambda part: part != "public"), PARTS)
def test_a_spelled_name_is_split_into_the_same_parts(schema: str | None, table: str):
    name = TableName(schema=schema, table=table)

    assert split(name.spelled("public")) == name


@pytest.mark.parametrize("name", ["", ".", "a.", ".a", "a.b.c", 'a"b', '"a', '""', '"a"b'])
def test_what_is_no_name_is_refused_with_the_way_to_write_one(name: str):
    with pytest.raises(ConfigError, match="write table, schema"):
        split(name)


def test_quotes_in_names_and_constants_cannot_end_them():
    assert quoted('a"; DROP TABLE x --') == '"a""; DROP TABLE x --"'
    assert literal("it's") == "'it''s'"
    with pytest.raises(ConfigError):
        quoted("a\0b")
    with pytest.raises(ConfigError):
        literal("a\0b")


@pytest.mark.parametrize(
    ("url", "dialect", "shown"),
    [
        (
            "postgresql+psycopg://me:s3cret%2F@db.example:5433/shop?sslmode=require&password=x",
            Dialect.POSTGRESQL,
            "postgresql://me@db.example:5433/shop",
        ),
        ("postgres:///shop?host=/run/pg", Dialect.POSTGRESQL, "postgresql:///shop"),
        ("sqlite:////data/a%20b.db", Dialect.SQLITE, "sqlite:////data/a b.db"),
        ("duckdb:////data/d.duckdb", Dialect.DUCKDB, "duckdb:////data/d.duckdb"),
    ],
)
def test_a_url_says_the_dialect_and_is_shown_without_secrets(
    url: str, dialect: Dialect, shown: str
):
    config = DatabaseConfig.model_validate({"url": url})

    assert config.dialect is dialect
    assert config.redacted == shown
    assert "s3cret" not in repr(config)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("db2://u:s3cret@h/d", "must start with one of postgresql://"),
        ("s3cret", "must start with one of"),
        ("sqlite:///relative.db", "absolute path"),
        ("sqlite://", "absolute path"),
        ("duckdb:////data/d.duckdb?s3cret=1", "takes no options"),
    ],
)
def test_a_url_that_cannot_work_is_refused_with_a_remedy(url: str, told: str):
    with pytest.raises(ConfigError, match=told) as caught:
        get("database").parse({"url": url})

    assert "s3cret" not in str(caught.value)


def test_an_unknown_option_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="database takes: url"):
        get("database").parse({"url": "sqlite:////a.db", "user": "me"})


MARKS = st.one_of(
    st.builds(lambda v: Mark(kind=Kind.INTEGER, value=v), st.integers()),
    st.builds(lambda v: Mark(kind=Kind.DATE, value=v), st.dates()),
    st.builds(lambda v: Mark(kind=Kind.TIMESTAMP, value=v), st.datetimes()),
    st.builds(lambda v: Mark(kind=Kind.INSTANT, value=v), st.datetimes(timezones=st.just(UTC))),
    st.builds(lambda v: Mark(kind=Kind.TEXT, value=v), st.text()),
    st.builds(
        lambda v: Mark(kind=Kind.DECIMAL, value=v),
        st.decimals(allow_nan=False, allow_infinity=False),
    ),
)


@settings(deadline=None)
@given(MARKS)
def test_a_watermark_is_read_back_exactly(mark: Mark):
    assert marked(mark.state(), mark.kind) == mark


@settings(deadline=None)
@given(MARKS, st.timedeltas(min_value=timedelta(0)))
def test_a_lag_never_leads_forward_and_never_fails(mark: Mark, lag: timedelta):
    earlier = mark.before(lag)

    assert earlier.order <= mark.order
    assert Mark.parse(mark.kind, earlier.text) == earlier


def test_watermarks_of_other_spellings_mean_the_same():
    """PostgreSQL, ISO 8601 and a destination's own spelling of one instant."""
    noon = datetime(2026, 1, 31, 12, 0, 0, 500_000, tzinfo=UTC)
    spellings = ("2026-01-31 12:00:00.5+00", "2026-01-31T13:00:00.500000+01:00")

    for text in spellings:
        state = State(version=1, value={"watermark": text})
        assert marked(state, Kind.INSTANT) == Mark(kind=Kind.INSTANT, value=noon)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Kind.INSTANT, "2026-01-31T12:00:00"),
        (Kind.TIMESTAMP, "2026-01-31T12:00:00Z"),
        (Kind.INTEGER, "1.5"),
        (Kind.INTEGER, "--1"),
        (Kind.INTEGER, "²"),
        (Kind.DECIMAL, "NaN"),
        (Kind.DATE, "2026-02-30"),
    ],
)
def test_a_position_of_another_kind_is_refused_with_an_example(kind: Kind, text: str):
    with pytest.raises(ValueError, match="write it like"):
        Mark.parse(kind, text)
