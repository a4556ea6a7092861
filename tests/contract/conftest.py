"""The shipped suites explain their failures as any other test does."""

import pytest

LAWS = (
    "read_laws",
    "state_laws",
    "commit_laws",
    "merge_laws",
    "column_laws",
    "rejected_laws",
    "schema_laws",
)

pytest.register_assert_rewrite(*(f"connectors.testing.{laws}" for laws in LAWS))
