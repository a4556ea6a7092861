"""Arrow as people compute with it: text that stands for a decimal becomes one.

For transforms and reports. On the way between systems the text is kept, because
it is exact for every value (NaN, infinity, hundreds of digits) and this is not.
"""

import pyarrow as pa

from connectors.arrow import Digits, Logical, digits_of, logical_of

MOST_DIGITS = 38
"""What decimal128 holds."""

UNBOUNDED = Digits(precision=MOST_DIGITS, scale=9)
"""What a decimal of no stated bounds is read as."""


def decoded(table: pa.Table) -> pa.Table:
    """The same table, decimals as decimal128; a column that does not fit stays text."""
    for index, field in enumerate(table.schema):
        if logical_of(field) is not Logical.DECIMAL or not pa.types.is_string(field.type):
            continue
        digits = digits_of(field) or UNBOUNDED
        if digits.precision > MOST_DIGITS:
            continue
        try:
            column = table.column(index).cast(pa.decimal128(digits.precision, digits.scale))
        except pa.ArrowInvalid:
            continue
        table = table.set_column(index, pa.field(field.name, column.type), column)
    return table
