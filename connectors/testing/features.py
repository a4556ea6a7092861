"""What a system may lack, said openly: a suite skips a law only for a written reason."""

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar

import pytest


class Feature(StrEnum):
    """Abilities that some systems do not have."""

    INCREMENTAL = "incremental"
    EMPTY_CURSOR = "empty_cursor"
    FUTURE = "future"
    LAG = "lag"
    WINDOW = "window"
    ROW_FILTER = "row_filter"
    COLUMNS = "columns"

    LISTS = "lists"
    NOT_A_NUMBER = "not_a_number"
    UNSIGNED = "unsigned"
    JSON_BYTES = "json_bytes"
    ENDLESS_DECIMALS = "endless_decimals"
    DROP = "drop"
    SCHEMA_POLICY = "schema_policy"
    VARIANT = "variant"
    REJECTED = "rejected"
    TOLD_DELETES = "told_deletes"


class Lacking:
    """A suite for systems that need not be able to do everything.

    ``lacks`` names what this one cannot do, and why.
    """

    lacks: ClassVar[Mapping[Feature, str]] = {}

    def needs(self, *features: Feature) -> None:
        """Skip the test where the system lacks one of these."""
        for feature in features:
            if feature in self.lacks:
                pytest.skip(f"lacks {feature}: {self.lacks[feature]}")
