"""Laws of applying, for all small files."""

import re
from datetime import timedelta
from itertools import count
from typing import Any

import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sync_pipelines.apply import act
from sync_pipelines.apply.parse import parse_manifest
from sync_pipelines.apply.problems import ManifestError
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
            {"type": "realtime"},
            {"type": "after", "sync": "always-there"},
            {"type": "adaptive", "least": "90m", "most": "2d"},
            {"type": "event", "trigger": "api"},
            {
                "type": "event",
                "trigger": "webhook",
                "conditions": [{"field": "a.b", "in": [1, "1", None, True, 2.5]}],
            },
        ]
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "timezone": st.sampled_from(["UTC", "America/Edmonton", "Asia/Kathmandu"]),
            "is_active": st.booleans(),
            "clock_change": st.just({"doubled": "both"}),
            "overlap": st.sampled_from(["skip", "queue", "cancel"]),
            "missed": st.sampled_from(
                ["all", "skip", {"most": 3}, {"policy": "all", "window": "90m"}]
            ),
            "spread": st.sampled_from(["exact", "5m", "2h"]),
            "blackouts": st.lists(
                st.sampled_from(
                    [
                        {"days": ["sat"], "from": "22:00", "to": "06:00"},
                        {"from": "12:00", "to": "13:30"},
                        {"from": "2026-12-24"},
                    ]
                ),
                max_size=2,
            ),
            "starts_at": st.just("2026-03-10T00:00:00+01:00"),
            "ends_at": st.just("2027-03-10T12:00:00Z"),
            "pause": st.sampled_from(
                [{"reason": "a"}, {"reason": "b", "until": "2026-03-04T00:00:00-05:00"}]
            ),
            "priority": st.sampled_from(["high", "normal", "low"]),
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
            {},
            optional={
                "jitter": st.floats(0, 1),
                "factor": st.just(3),
                "stalled_after": st.sampled_from(["1m", "2.5h"]),
            },
        ),
        "breaker": st.fixed_dictionaries(
            {},
            optional={
                "failures": st.integers(1, 9),
                "probe_after": st.sampled_from(["90s", "1.5h"]),
                "factor": st.floats(1, 9),
                "ceiling": st.just("12h"),
                "pause": st.booleans(),
            },
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
THERE = {"source": "shop", "destination": "house", "streams": ["there"]}
CLASH = re.compile("fire alike|write the same table|never starts")


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(first=FILES, second=FILES)
def test_after_a_file_is_applied_it_plans_nothing_whatever_was_there_before(
    module_catalog: Catalog, first: dict, second: dict
) -> None:
    tenant = f"t{next(NUMBERS)}"

    def applied(content: dict, *, days: int):
        syncs = {**content["syncs"], "always-there": THERE}
        # JSON is YAML; and what YAML's own writer makes of text is tested along.
        written = yaml.safe_dump({"tenant": tenant, **content, "syncs": syncs}, allow_unicode=True)
        parsed = parse_manifest(written, file="f", environment={})
        now = START + timedelta(days=days)
        try:
            return act.apply(module_catalog, parsed, now=now, actor="test")
        except ManifestError as error:
            # Only schedules that clash are refused, and not here.
            assume(not all(CLASH.search(one.message) for one in error.problems))
            raise

    applied(first, days=0)
    applied(second, days=1)
    again = applied(second, days=40)

    assert again.changes == ()
    named = 4 + sum(1 + len(sync.get("schedules", ())) for sync in second["syncs"].values())
    assert again.unchanged == named
