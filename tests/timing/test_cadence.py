"""A cadence as data: what a tenant may write, and what the refusal says."""

import json
import pickle
from datetime import UTC, time
from typing import Any

import pytest
from hypothesis import given

from sync_pipelines.model.cadence import (
    EVERY_PRESETS,
    PRESETS,
    Adaptive,
    After,
    Cadence,
    CadenceError,
    ClockChange,
    Condition,
    Cron,
    Daily,
    Doubled,
    Event,
    EventTrigger,
    Every,
    Hourly,
    Manual,
    Missing,
    Monthly,
    Realtime,
    ScheduleType,
    Weekday,
    Weekly,
    parse_cadence,
    parse_clock_change,
    to_mapping,
)
from sync_pipelines.model.condition import Operator
from tests.timing import strategies

MIDNIGHT = time(0)


@pytest.mark.parametrize(
    ("written", "cadence"),
    [
        ({"type": "realtime"}, Realtime()),
        ({"type": "manual"}, Manual()),
        ({"type": "every", "minutes": 15}, Every(minutes=15)),
        ({"every": "15m"}, Every(minutes=15)),
        ({"type": "every", "every": "15m"}, Every(minutes=15)),
        ({"every": " 6 h "}, Every(minutes=360)),
        ({"every": "1d"}, Every(minutes=1440)),
        ({"type": "hourly", "minute": 0}, Hourly(minute=0)),
        ({"type": "hourly", "minute": 59}, Hourly(minute=59)),
        ({"type": "daily", "at": "02:00"}, Daily(at=(time(2),))),
        ({"type": "daily", "at": "9:05"}, Daily(at=(time(9, 5),))),
        ({"type": "daily", "at": time(9, 5)}, Daily(at=(time(9, 5),))),
        ({"type": "daily", "at": ["14:30", "02:00"]}, Daily(at=(time(2), time(14, 30)))),
        (
            {"type": "weekly", "days": ["thu", "mon"], "at": "08:30"},
            Weekly(days=(Weekday.MON, Weekday.THU), at=(time(8, 30),)),
        ),
        ({"type": "weekly", "days": "Sunday"}, Weekly(days=(Weekday.SUN,))),
        (
            {"type": "monthly", "days": [1, "last"], "at": "00:00"},
            Monthly(days=(1,), last=True, at=(MIDNIGHT,)),
        ),
        ({"type": "monthly", "days": "last"}, Monthly(days=(), last=True)),
        ({"type": "monthly", "days": 31}, Monthly(days=(31,))),
        ({"type": "cron", "cron": "0 2 * * *"}, Cron(expression="0 2 * * *")),
        ({"every": "inactive"}, Every(minutes=360)),
        ({"type": "event", "trigger": "user-action"}, Event(trigger=EventTrigger.USER_ACTION)),
        (
            {
                "type": "event",
                "trigger": "webhook",
                "conditions": [{"field": "a.b", "in": [1, None]}],
            },
            Event(
                trigger=EventTrigger.WEBHOOK,
                conditions=(Condition(field="a.b", operator=Operator.IN, value=(1, None)),),
            ),
        ),
        ({"type": "after", "sync": "acme/orders"}, After(sync="acme/orders")),
        ({"type": "adaptive", "least": "15m", "most": "6h"}, Adaptive(least=15, most=360)),
    ],
)
def test_a_cadence_is_read_as_written(written: dict[str, Any], cadence: Cadence):
    """R2, R3, R4, R5, R6, R7, R16, R18, R19, R80."""
    assert parse_cadence(written) == cadence


@pytest.mark.parametrize(
    ("written", "cadence"),
    [
        ({"type": "hourly"}, Hourly(minute=0)),
        ({"type": "daily"}, Daily(at=(time(2),))),
        ({"type": "weekly"}, Weekly(days=(Weekday.SUN,), at=(time(2),))),
        ({"type": "monthly"}, Monthly(days=(1,), at=(time(2),))),
    ],
)
def test_what_is_left_out_is_two_in_the_morning_on_sunday_or_the_first(
    written: dict[str, Any], cadence: Cadence
):
    """R8."""
    assert parse_cadence(written) == cadence


@pytest.mark.parametrize(
    ("written", "expression"),
    [
        ({"type": "hourly", "minute": 0}, "0 * * * *"),
        ({"type": "daily", "at": "00:00"}, "0 0 * * *"),
        ({"type": "daily", "at": "00:30"}, "30 0 * * *"),
        ({"type": "weekly", "days": ["sun"], "at": "00:00"}, "0 0 * * 0"),
        ({"type": "weekly", "days": ["sun", "mon"], "at": "08:30"}, "30 8 * * 0,1"),
        ({"type": "monthly", "days": [15, 1], "at": "00:00"}, "0 0 1,15 * *"),
        ({"type": "monthly", "days": [1, "last"], "at": "00:00"}, "0 0 1,L * *"),
        ({"type": "daily", "at": ["02:00", "14:00"]}, "0 2,14 * * *"),
        ({"type": "daily", "at": ["02:00", "02:30", "14:00", "14:30"]}, "0,30 2,14 * * *"),
        ({"type": "daily", "at": ["02:00", "14:30"]}, None),
        ({"type": "every", "minutes": 15}, None),
        ({"type": "realtime"}, None),
        ({"type": "manual"}, None),
        ({"type": "cron", "cron": "@daily"}, "0 0 * * *"),
        ({"type": "cron", "cron": "0 0 2 * * *"}, "0 2 * * *"),
    ],
)
def test_a_cadence_is_a_cron_expression_where_one_exists_and_midnight_is_a_time(
    written: dict[str, Any], expression: str | None
):
    """R9, R20, T1."""
    assert parse_cadence(written).cron_expression == expression


def test_every_kind_has_the_type_that_the_table_stores():
    """R20: the types of the schedule table, and monthly, every and manual besides."""
    kinds = ["realtime", "hourly", "daily", "weekly", "monthly", "manual"]

    stored = [str(parse_cadence({"type": kind}).schedule_type) for kind in kinds]

    assert stored == kinds
    assert Cron(expression="0 2 * * *").schedule_type is ScheduleType.CUSTOM
    assert Every(minutes=15).schedule_type is ScheduleType.EVERY
    assert Event(trigger=EventTrigger.API).schedule_type is ScheduleType.EVENT
    assert After(sync="orders").schedule_type is ScheduleType.AFTER
    assert Adaptive(least=15, most=60).schedule_type is ScheduleType.ADAPTIVE


@pytest.mark.parametrize(
    ("written", "field", "says"),
    [
        ("daily", "type", "'daily' is not a schedule"),
        (None, "type", "None is not a schedule"),
        ({}, "type", "type None is not known"),
        ({"type": "dayly"}, "type", "'dayly' is not known; write one of realtime, every"),
        ({"type": ["daily"]}, "type", "is not known"),
        ({"type": "daily", "att": "02:00"}, "att", "'att' is not a key of schedules of type daily"),
        ({"type": "daily", "every": "15m"}, "every", "they take type, at"),
        ({"type": "daily", 3: "02:00"}, "3", "3 is not a key"),
        ({"type": "daily", "at": "24:00"}, "at", "'24:00' is not a time of day"),
        ({"type": "daily", "at": "02:60"}, "at", "midnight '00:00'"),
        ({"type": "daily", "at": "2am"}, "at", "'2am' is not a time of day"),
        ({"type": "daily", "at": "\u0660\u0662:00"}, "at", "is not a time of day"),
        ({"type": "daily", "at": None}, "at", "None is not a time of day"),
        ({"type": "daily", "at": []}, "at", "at is empty"),
        ({"type": "daily", "at": 630}, "at", "written 10:30, put quotes around it"),
        ({"type": "daily", "at": time(2, 0, 30)}, "at", "write hours and minutes"),
        ({"type": "daily", "at": time(2, tzinfo=UTC)}, "at", "write hours and minutes"),
        ({"type": "weekly", "days": ["mon", "moon"]}, "days", "'moon', which is not a weekday"),
        ({"type": "weekly", "days": 1}, "days", "1, which is not a weekday; write mon, tue"),
        ({"type": "weekly", "days": []}, "days", "days is empty"),
        ({"type": "monthly", "days": [0]}, "days", "days has 0; write days of the month, 1 to 31"),
        ({"type": "monthly", "days": [32]}, "days", "days has 32"),
        ({"type": "monthly", "days": [True]}, "days", "days has True"),
        ({"type": "monthly", "days": []}, "days", "days is empty"),
        ({"type": "hourly", "minute": 60}, "minute", "minute 60 is wrong; write a whole number 0"),
        ({"type": "hourly", "minute": "5"}, "minute", "minute '5' is wrong"),
        ({"type": "every"}, "minutes", "minutes is missing"),
        ({"type": "every", "minutes": 0}, "minutes", "minutes 0 is wrong; write a whole number 1"),
        ({"type": "every", "minutes": True}, "minutes", "minutes True is wrong"),
        ({"type": "every", "minutes": 1.5}, "minutes", "minutes 1.5 is wrong"),
        ({"type": "every", "minutes": 600_000}, "minutes", "to 527040"),
        ({"every": "15"}, "every", "every '15' is wrong; write it as 15m, 6h or 1d"),
        ({"every": 15}, "every", "every 15 is wrong"),
        ({"every": "0m"}, "every", "every '0m' is wrong"),
        ({"every": "367d"}, "every", "at most 366d"),
        ({"every": "often"}, "every", "every 'often' is wrong"),
        ({"type": "event"}, "trigger", "trigger is missing; write one of webhook, api"),
        ({"type": "event", "trigger": "mail"}, "trigger", "trigger 'mail' is not known"),
        (
            {"type": "event", "trigger": "api", "conditions": {"field": "a", "equals": 1}},
            "conditions",
            "conditions is not a list",
        ),
        (
            {"type": "event", "trigger": "api", "conditions": [{"field": "a", "equals": 1}] * 21},
            "conditions",
            "conditions has 21 of them; write at most 20",
        ),
        ({"type": "after"}, "sync", "sync None is not a sync's name"),
        ({"type": "after", "sync": "a/b/c"}, "sync", "sync 'a/b/c' is not a sync's name"),
        ({"type": "adaptive", "least": "15m"}, "most", "most is missing"),
        ({"type": "adaptive", "least": 15, "most": "6h"}, "least", "least 15 is wrong"),
        (
            {"type": "adaptive", "least": "6h", "most": "6h"},
            "most",
            "most, 6h, is not longer than least, 6h; for a fixed interval write every",
        ),
        ({"type": "cron"}, "cron", "cron None is not an expression"),
        ({"type": "cron", "cron": "61 * * * *"}, "cron", "minute '61' in cron '61 * * * *'"),
    ],
)
def test_a_refusal_names_the_key_the_wrong_value_and_the_right_ones(
    written: object, field: str, says: str
):
    """R11, R32."""
    with pytest.raises(CadenceError) as caught:
        parse_cadence(written)

    assert caught.value.field == field
    assert says in str(caught.value)


def test_a_cadence_that_could_never_run_cannot_be_built_by_hand_either():
    for build in (
        lambda: Every(minutes=-1),
        lambda: Hourly(minute=60),
        lambda: Daily(at=()),
        lambda: Weekly(days=()),
        lambda: Monthly(days=()),
        lambda: Monthly(days=(32,)),
        lambda: Cron(expression="0 2 * *"),
    ):
        with pytest.raises(CadenceError):
            build()


def test_the_order_and_the_repeats_in_what_was_written_do_not_matter():
    written = {"type": "weekly", "days": ["thu", "mon", "thu"], "at": ["9:00", "08:00", "09:00"]}

    cadence = parse_cadence(written)

    assert cadence == Weekly(days=(Weekday.MON, Weekday.THU), at=(time(8), time(9)))
    assert to_mapping(cadence) == {
        "type": "weekly",
        "days": ["mon", "thu"],
        "at": ["08:00", "09:00"],
    }


@given(strategies.cadences)
def test_a_cadence_survives_being_stored_as_json(cadence: Cadence):
    """R27."""
    stored = json.dumps(to_mapping(cadence))

    assert parse_cadence(json.loads(stored)) == cadence
    assert hash(parse_cadence(json.loads(stored))) == hash(cadence)


def test_the_presets_are_a_quarter_one_six_and_twenty_four_hours():
    """R15."""
    assert [parse_cadence({"type": "every", "minutes": m}) for m in EVERY_PRESETS] == [
        parse_cadence({"every": text}) for text in ("15m", "1h", "6h", "24h")
    ]


def test_a_preset_may_be_written_by_its_name():
    """R15, R16."""
    for preset in PRESETS:
        assert parse_cadence({"every": preset.name}) == Every(minutes=preset.minutes)


def test_a_sync_waits_only_for_one_of_its_own_tenant():
    """R80, R127."""
    assert After(sync="orders").key("acme") == "acme/orders"
    assert After(sync="acme/orders").key("acme") == "acme/orders"
    with pytest.raises(CadenceError, match="belongs to another tenant"):
        After(sync="acme/orders").key("globex")


def test_clock_change_rules_are_after_the_gap_and_the_first_unless_chosen():
    assert parse_clock_change({}) == ClockChange()
    assert ClockChange() == ClockChange(missing=Missing.AFTER_GAP, doubled=Doubled.FIRST)
    assert parse_clock_change({"missing": "skip", "doubled": "both"}) == ClockChange(
        missing=Missing.SKIP, doubled=Doubled.BOTH
    )


@pytest.mark.parametrize(
    ("written", "field", "says"),
    [
        ({"missing": "sometimes"}, "missing", "write one of after_gap, skip"),
        ({"doubled": True}, "doubled", "write one of first, second, both"),
        ({"twice": "both"}, "twice", "it takes missing, doubled"),
        ("skip", "clock_change", "'skip' is wrong"),
    ],
)
def test_a_wrong_clock_change_rule_is_refused(written: object, field: str, says: str):
    with pytest.raises(CadenceError) as caught:
        parse_clock_change(written)

    assert caught.value.field == field
    assert says in str(caught.value)


def test_a_refusal_reaches_another_process_whole():
    error = CadenceError("at", "at '24:00' is not a time of day")

    copy = pickle.loads(pickle.dumps(error))

    assert (copy.field, copy.message, str(copy)) == (error.field, error.message, str(error))
