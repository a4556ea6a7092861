"""Cron: which expressions are accepted, and what they mean."""

from datetime import date, time

import pytest

from sync_pipelines.model.cadence import CadenceError, Cron, Daily, Hourly, Monthly, Weekday, Weekly
from sync_pipelines.timing.cron import read_cron, simplest


@pytest.mark.parametrize(
    ("expression", "five_fields"),
    [
        ("0 2 * * *", "0 2 * * *"),
        ("  0   2 * *\t* ", "0 2 * * *"),
        ("0 0 2 * * *", "0 2 * * *"),
        ("00 */5 * * * *", "*/5 * * * *"),
        ("@hourly", "0 * * * *"),
        ("@Daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("0 2 * jan-mar MON", "0 2 * jan-mar MON"),
    ],
)
def test_five_fields_six_with_zero_seconds_and_macros_are_accepted(
    expression: str, five_fields: str
):
    """R4, T4."""
    assert Cron(expression=expression).cron_expression == five_fields


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("", "has 0 fields; write five"),
        ("0 2 * *", "has 4 fields"),
        ("0 0 2 * * * 2026", "has 7 fields"),
        ("30 0 2 * * *", "the first, seconds, is '30'; it must be 0"),
        ("*/10 * * * * *", "the first, seconds, is '*/10'; it must be 0"),
        ("@reboot", "'@reboot' is not known; write one of @hourly"),
        ("60 2 * * *", "minute '60' in cron '60 2 * * *' is not valid; write 0-59"),
        ("*/0 2 * * *", "minute '*/0'"),
        ("0 24 * * *", "hour '24'"),
        ("0 2 32 * *", "day of month '32'"),
        ("0 2 ? * 1", "day of month '?'"),
        ("0 2 * 13 *", "month '13'"),
        ("0 2 * JANUARY *", "month 'JANUARY'"),
        ("0 2 * * 8", "day of week '8' in cron '0 2 * * 8' is not valid; write 0-7"),
        ("0 2 * * FRI-MON", "day of week 'FRI-MON'"),
        ("0 2 30 2 *", "never fires"),
        ("0 2 31 4,6 *", "never fires"),
        ("0 2 */40 * 1#2", "never fires"),
        ("0 2 * * " + "1," * 120 + "1", "characters long; at most 200"),
    ],
)
def test_what_is_not_cron_is_refused_with_the_field_and_what_would_be_right(
    expression: str, says: str
):
    """R11, T4."""
    with pytest.raises(CadenceError) as caught:
        Cron(expression=expression)

    assert caught.value.field == "cron"
    assert says in str(caught.value)


def test_a_step_counts_from_the_start_of_its_field_not_round_the_clock():
    """T3: the document's "every 15 minutes" is every 15th hour."""
    assert read_cron("0 */15 * * *").times == (time(0), time(15))
    assert read_cron("*/40 3 * * *").times == (time(3), time(3, 40))


@pytest.mark.parametrize(
    ("hour", "keeps_going"),
    [("*", True), ("*/1", True), ("0-23", True), ("*/2", False), ("*/15", False), ("0-22", False)],
)
def test_only_an_hour_that_leaves_none_out_means_keep_going(hour: str, keeps_going: bool):
    assert read_cron(f"0 {hour} * * *").is_every_hour is keeps_going


def test_a_list_of_all_hours_means_wall_times():
    every_hour = ",".join(str(hour) for hour in range(24))

    assert read_cron(f"0 {every_hour} * * *").is_every_hour is False


def test_a_date_and_a_weekday_mean_either_unless_one_starts_with_a_star():
    friday_12th, monday_13th, tuesday_14th = (
        date(2026, 6, 12),
        date(2026, 7, 13),
        date(2026, 7, 14),
    )
    either, both = read_cron("0 0 13 * 5"), read_cron("0 0 */12 * 1")

    assert [either.fires_on(day) for day in (friday_12th, monday_13th, tuesday_14th)] == [
        True,
        True,
        False,
    ]
    assert [both.fires_on(day) for day in (friday_12th, monday_13th, tuesday_14th)] == [
        False,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("expression", "cadence"),
    [
        ("5 * * * *", Hourly(minute=5)),
        ("0 2 * * *", Daily(at=(time(2),))),
        ("0 2 1-31 * *", Daily(at=(time(2),))),
        ("0 2 1-31 * 1", Daily(at=(time(2),))),
        ("0 2 * * 0-6", Daily(at=(time(2),))),
        ("30 8 * * mon,4", Weekly(days=(Weekday.MON, Weekday.THU), at=(time(8, 30),))),
        ("0 2 * * 7", Weekly(days=(Weekday.SUN,), at=(time(2),))),
        ("0 0 1,L * *", Monthly(days=(1,), last=True, at=(time(0),))),
    ],
)
def test_a_cron_is_known_for_the_simpler_cadence_it_is(expression: str, cadence: object):
    assert simplest(Cron(expression=expression)) == cadence


@pytest.mark.parametrize(
    "expression",
    ["*/15 * * * *", "0 2 * 6 *", "0 2 13 * 5", "0 2 * * 5L", "0 2 LW * *", "0 9-17 * * *"],
)
def test_a_cron_that_says_more_than_a_simple_cadence_stays_a_cron(expression: str):
    assert simplest(Cron(expression=expression)) == Cron(expression=expression)
