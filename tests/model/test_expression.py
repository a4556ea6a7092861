import pytest

from sync_pipelines.model.expression import (
    LONGEST,
    Call,
    Column,
    ExpressionError,
    Literal,
    columns_of,
    parse_expression,
)


def test_multiplication_binds_closer_than_addition_and_comparison_looser():
    found = parse_expression("a + 2 * b > 3 and not c")

    total = Call("+", (Column("a"), Call("*", (Literal(2), Column("b")))))
    wanted = Call("and", (Call(">", (total, Literal(3))), Call("not", (Column("c"),))))
    assert found == wanted


def test_subtraction_is_read_from_the_left():
    found = parse_expression("9 - 3 - 2")

    assert found == Call("-", (Call("-", (Literal(9), Literal(3))), Literal(2)))


def test_quotes_within_text_and_odd_field_names_are_kept():
    found = parse_expression("""concat('it''s ', "unit price", "a""b")""")

    assert found == Call("concat", (Literal("it's "), Column("unit price"), Column('a"b')))


def test_the_fields_that_an_expression_reads_are_told_once():
    found = columns_of(parse_expression("if(a > b, a, coalesce(c, 'x'))"))

    assert found == ("a", "b", "c")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("lowr(name)", "at character 1: there is no function 'lowr'; did you mean 'lower'?"),
        ("a + ", "at character 5: the expression ends where a field, a value or a function"),
        ("a b", "at character 3: 'b' comes after the expression's end"),
        ("trim(a, b)", "at character 1: trim takes 1 arguments, and here are 2"),
        ("x = 'open", "at character 5: a quote ' is opened and never closed"),
        ("a ; b", "at character 3: ';' has no meaning here"),
        ("concat(a, )", "at character 11: ')' stands where a value should"),
        ("(a", "at character 3: the expression ends where ')' should stand"),
        ("and", "at character 1: 'and' stands where a value should"),
        ("9223372036854775808", "is too large"),
        ("(" * 60 + "a" + ")" * 60, "nested deeper"),
        ("-" * 60 + "a", "nested deeper"),
        ("not " * 60 + "a", "nested deeper"),
        ("a" * (LONGEST + 1), "longer than"),
    ],
)
def test_an_error_names_the_position_and_what_would_be_right(written, said):
    with pytest.raises(ExpressionError) as caught:
        parse_expression(written)

    assert said in str(caught.value)
