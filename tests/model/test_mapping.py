import pytest

from sync_pipelines.model.mapping import MappingError, parse_mapping
from sync_pipelines.model.sync import SyncStream

WHOLE = {
    "omit": ["internal"],
    "rename": {"order_id": "id"},
    "constant": {"shop": "north", "version": 2},
    "expression": {"name": "concat(first, ' ', last)"},
    "cast": {"total": "decimal(12,2)", "paid_on": "date"},
}


def test_a_mapping_is_written_as_it_was_read():
    found = parse_mapping(WHOLE)

    assert found.to_mapping() == WHOLE
    assert parse_mapping(found.to_mapping()) == found


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"expresion": {}}, "mapping.expresion: 'expresion' is not known; did you mean"),
        ({"select": ["a"], "omit": ["b"]}, "mapping.omit: select says what is kept already"),
        ({"select": ["a"], "rename": {"b": "c"}}, "mapping.rename.b: 'b' is not kept"),
        ({"rename": {"a": "x", "b": "x"}}, "two fields would be called 'x'"),
        ({"constant": {"x": 1}, "expression": {"x": "a"}}, "two fields would be called 'x'"),
        ({"expression": {"x": "uper(a)"}}, "mapping.expression.x: at character 1: there is no"),
        ({"cast": {"a": "interger"}}, "mapping.cast.a: 'interger' is no type; did you mean"),
        ({"cast": {"a": "decimal"}}, "mapping.cast.a: 'decimal' is wrong; write one of"),
        ({"cast": {"a": "decimal(3,5)"}}, "1 to 38 digits"),
        ({"constant": {"a": None}}, "mapping.constant.a: None is wrong"),
        ({"rename": {"a": " "}}, "mapping.rename.a: ' ' is wrong"),
        ({"rename": {"a": "x" * 64}}, "cannot be a field's name"),
    ],
)
def test_what_is_wrong_is_said_with_its_key(written, said):
    with pytest.raises(MappingError) as caught:
        parse_mapping(written)

    assert said in str(caught.value)


@pytest.mark.parametrize(
    "written", [{"omit": ["id"]}, {"select": ["other"]}, {"constant": {"id": 1}}]
)
def test_a_key_that_would_not_arrive_is_refused_when_the_sync_is_made(written):
    with pytest.raises(ValueError, match="part of the primary key"):
        SyncStream(name="orders", primary_key=("id",), mapping=parse_mapping(written))


def test_a_cursor_that_would_not_arrive_is_refused():
    with pytest.raises(ValueError, match="the cursor"):
        SyncStream(name="orders", cursor_field="at", mapping=parse_mapping({"omit": ["at"]}))
