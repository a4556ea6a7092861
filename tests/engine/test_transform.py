"""A tenant's own function: what it may do to records, and what it may not."""

import subprocess
import sys
from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa
import pytest

from connectors.contract import Batch
from connectors.errors import ConfigError
from sync_pipelines.engine.transform import Transform
from sync_pipelines.model.sync import SyncStream
from sync_pipelines.settings import Settings

AT = datetime(2026, 3, 2, 12, 0, 0, 123456, tzinfo=UTC)
GIVEN = pa.table(
    {
        "id": pa.array([1, 2], pa.int64()),
        "name": pa.array([" ada ", None]),
        "many": pa.array([None, 2**53 + 1], pa.int64()),
        "at": pa.array([AT, None], pa.timestamp("us", "UTC")),
    }
)


def transformed(function):
    transform = Transform(name="rules:clean", function=function, key=("id",))
    return transform.apply(Batch(data=GIVEN)).data


def test_values_are_changed_and_columns_added_and_the_others_stay_exact():
    def clean(frame):
        frame["name"] = frame["name"].str.strip()
        frame["is_many"] = frame["many"] > 10
        return frame.sort_values("id", ascending=False)

    made = transformed(clean)

    assert made.to_pylist() == [
        {"id": 2, "name": None, "many": 2**53 + 1, "at": None, "is_many": True},
        {"id": 1, "name": "ada", "many": None, "at": AT, "is_many": None},
    ]
    assert made.schema.field("at").equals(GIVEN.schema.field("at"))


def renumbered(frame):
    frame["id"] = frame["id"] + 1
    return frame


def retyped(frame):
    frame["many"] = frame["many"].astype("string")
    return frame


def mixed(frame):
    frame["odd"] = pd.Series(["a", 1], dtype=object)
    return frame


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda frame: None, "returned NoneType; return the DataFrame"),
        (lambda frame: frame.drop(columns="name"), "lost column 'name'"),
        (retyped, "turned column .many. from int64 into"),
        (renumbered, "returned other records"),
        (lambda frame: frame[frame["id"] == 1], "returned other records"),
        (lambda frame: pd.concat([frame, frame]), "returned other records"),
        (mixed, "a column of mixed types"),
    ],
)
def test_a_function_that_loses_or_alters_something_is_refused(function, said):
    with pytest.raises(ConfigError, match=said):
        transformed(function)


def test_only_allowed_modules_are_imported():
    with pytest.raises(ConfigError, match="not allowed here; allowed are: shop_rules"):
        Transform.load("os:system", allowed=("shop_rules",), key=())
    with pytest.raises(ConfigError, match="cannot be loaded: No module named 'absent_rules'"):
        Transform.load("absent_rules:clean", allowed=("absent_rules",), key=())
    with pytest.raises(ConfigError, match="is not a function"):
        Transform.load("math:pi", allowed=("math",), key=())


def test_a_name_that_is_no_function_is_refused_when_the_sync_is_made():
    with pytest.raises(ValueError, match="name a function of a module"):
        SyncStream(name="orders", transform="shop_rules.clean")


def test_the_setting_lists_modules():
    settings = Settings(transform_modules="shop_rules, other.rules,")

    assert settings.allowed_transforms == ("shop_rules", "other.rules")


def test_pandas_is_imported_only_by_a_transform():
    program = "import sys, sync_pipelines.engine.run; print('pandas' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.stdout.strip() == "False", done.stderr
