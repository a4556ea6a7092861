"""Which of two versions of a record is older, when one of them is known as text."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from connectors.providers.quickbooks.versions import is_older, version

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (NOON, NOON + timedelta(microseconds=1)),
        (NOON.astimezone(timezone(timedelta(hours=9))), NOON + timedelta(seconds=1)),
        (date(2026, 3, 1), date(2026, 3, 2)),
        (9, 10),
        (Decimal("9.5"), Decimal("10")),
        (9.5, 10.25),
        ("2026-03-01", "2026-03-02"),
    ],
)
def test_the_older_of_two_is_known_whatever_its_type(older, newer):
    assert is_older("at", older, version("at", newer))
    assert not is_older("at", newer, version("at", older))
    assert not is_older("at", newer, version("at", newer))


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (1, version("other", 2)),
        (1, version("at", "tomorrow")),
        (NOON, version("at", NOON.replace(tzinfo=None) + timedelta(days=1))),
        (None, version("at", 2)),
        (1, version("at", None)),
        (1, None),
    ],
    ids=["another column", "another type", "without a zone", "empty", "was empty", "not sent"],
)
def test_what_cannot_be_compared_is_not_older(value, sent):
    assert not is_older("at", value, sent)
