"""Laws of applying, for all small files."""

from datetime import timedelta
from itertools import count
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sync_pipelines.apply import act
from sync_pipelines.apply.parse import parse_manifest
from sync_pipelines.catalog.store import Catalog
from tests.world import START

WORDS = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,8}", fullmatch=True)
TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="$"),
    min_size=1,
    max_size=12,
).filter(str.strip)
DURATIONS = st.builds(lambda n, unit: f"{n}{unit}", st.integers(0, 90), st.sampled_from("smhd"))

STREAMS: st.SearchStrategy[Any] = st.one_of(
    TEXT,
    st.fixed_dictionaries(
        {
            "name": TEXT,
            "write_mode": st.sampled_from(["append", "upsert"]),
        },
        optional={
            "sync_mode": st.sampled_from(["full", "incremental"]),
            "cursor_field": TEXT,
            "primary_key": st.lists(TEXT, unique=True, max_size=2),
            "columns": st.lists(TEXT, unique=True, max_size=2),
            "row_filter": TEXT,
            "lag": DURATIONS,
            "allow_empty": st.booleans(),
        },
    ),
)
SCHEDULES = st.builds(
    lambda cadence, more: cadence | more,
    st.sampled_from(
        [
            {"every": "15m"},
            {"type": "hourly", "minute": 7},
            {"type": "weekly", "days": ["sat", "mon"], "at": ["18:30", "06:00"]},
            {"type": "monthly", "days": [31, "last"]},
            {"type": "cron", "cron": "@daily"},
            {"type": "manual"},
        ]
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "timezone": st.sampled_from(["UTC", "America/Edmonton", "Asia/Kathmandu"]),
            "is_active": st.booleans(),
            "clock_change": st.just({"doubled": "both"}),
        },
    ),
)
SYNCS = st.fixed_dictionaries(
    {
        "source": st.just("shop"),
        "destination": st.just("house"),
        "streams": st.lists(
            STREAMS,
            min_size=1,
            max_size=3,
            unique_by=lambda s: (s if isinstance(s, str) else s["name"]).rsplit(".")[-1].casefold(),
        ),
    },
    optional={
        "dataset": TEXT,
        "description": TEXT,
        "is_active": st.booleans(),
        "retry": st.fixed_dictionaries(
            {}, optional={"jitter": st.floats(0, 1), "factor": st.just(3)}
        ),
        "schedules": st.dictionaries(WORDS, SCHEDULES, max_size=2),
    },
)
FILES = st.fixed_dictionaries(
    {
        "connections": st.fixed_dictionaries(
            {
                name: st.fixed_dictionaries(
                    {
                        "connector": st.just("database"),
                        "config": st.fixed_dictionaries(
                            {"url": st.just("sqlite:////tmp/a.db")},
                            optional={"connect_timeout_seconds": st.integers(1, 9)},
                        ),
                    }
                )
                for name in ("shop", "house")
            }
        ),
        "syncs": st.dictionaries(WORDS, SYNCS, max_size=2),
    }
)
NUMBERS = count()


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(first=FILES, second=FILES)
def test_after_a_file_is_applied_it_plans_nothing_whatever_was_there_before(
    module_catalog: Catalog, first: dict, second: dict
) -> None:
    tenant = f"t{next(NUMBERS)}"

    def parsed(content: dict):
        # JSON is YAML; and what YAML's own writer makes of text is tested along.
        written = yaml.safe_dump({"tenant": tenant, **content}, allow_unicode=True)
        return parse_manifest(written, file="f", environment={})

    act.apply(module_catalog, parsed(first), now=START, actor="test")
    act.apply(module_catalog, parsed(second), now=START + timedelta(days=1), actor="test")
    again = act.apply(module_catalog, parsed(second), now=START + timedelta(days=40), actor="test")

    assert again.changes == ()
    named = 3 + sum(1 + len(sync.get("schedules", ())) for sync in second["syncs"].values())
    assert again.unchanged == named
