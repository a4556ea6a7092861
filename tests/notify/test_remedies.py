"""What helps: R95."""

import re

import pytest

from sync_pipelines.engine.outcome import ErrorClass
from sync_pipelines.notify.remedies import ROWS, remedy


@pytest.mark.parametrize(
    ("error_class", "message", "helps"),
    [
        ("auth", 'password authentication failed for user "shop"', "right password"),
        ("config", "42501: permission denied for table orders", "Grant"),
        ("auth", "HTTP 401 Unauthorized", "valid key or token"),
        ("auth", "401: invalid_grant", "Connect the account again"),
        ("transient", "connection to server failed: Connection refused", "nothing listens"),
        ("transient", "HTTP 503", "tries again by itself"),
        ("rate_limited", "HTTP 429", "less often"),
        ("config", "order 40112 is wrong", "Correct what the message names"),
    ],
)
def test_a_code_counts_before_the_class(error_class, message, helps):
    assert helps in remedy(error_class, message)


@pytest.mark.parametrize("error_class", list(ErrorClass))
def test_every_class_has_its_remedy(error_class):
    assert remedy(error_class, "") != remedy("no such class", "")


def test_every_row_can_be_reached_and_is_a_sentence():
    for row in ROWS:
        assert row.remedy.endswith(".")
        assert row.says is None or re.compile(row.says)
