"""The shipped suites explain their failures as any other test does."""

import pytest

pytest.register_assert_rewrite(
    "connectors.testing.source_suite", "connectors.testing.destination_suite"
)
