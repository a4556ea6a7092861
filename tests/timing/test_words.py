"""Cadences in words: one voice, and true."""

from datetime import time

import pytest
from hypothesis import given, settings

from sync_pipelines.model.cadence import (
    Adaptive,
    After,
    Cadence,
    Condition,
    Cron,
    Daily,
    Event,
    EventTrigger,
    Every,
    Hourly,
    Manual,
    Monthly,
    Realtime,
    Weekday,
    Weekly,
)
from sync_pipelines.model.condition import Operator
from sync_pipelines.timing.words import place, sentence
from tests.timing import strategies

MON, TUE, WED, THU, SAT = Weekday.MON, Weekday.TUE, Weekday.WED, Weekday.THU, Weekday.SAT


@pytest.mark.parametrize(
    ("cadence", "words"),
    [
        (Realtime(), "Realtime, on every change"),
        (Manual(), "Manual only"),
        (After(sync="orders"), "After orders succeeded"),
        (Adaptive(least=15, most=360), "Adaptive, from every 15 minutes to every 6 hours"),
        (Event(trigger=EventTrigger.USER_ACTION), "On a user's action"),
        (
            Event(
                trigger=EventTrigger.WEBHOOK,
                conditions=(
                    Condition(field="status", operator=Operator.IN, value=("paid", "sent")),
                    Condition(field="total", operator=Operator.GREATER, value=100),
                    Condition(field="note", operator=Operator.EXISTS, value=False),
                ),
            ),
            "On a webhook, if status is 'paid' or 'sent', total is greater than 100"
            " and note is missing",
        ),
        (Every(minutes=15), "Every 15 minutes"),
        (Every(minutes=60), "Every hour"),
        (Every(minutes=90), "Every 90 minutes"),
        (Every(minutes=1440), "Every 24 hours"),
        (Hourly(minute=5), "Hourly at minute 5, Berlin"),
        (Daily(), "Daily at 02:00, Berlin"),
        (Daily(at=(time(0),)), "Daily at 00:00, Berlin"),
        (
            Daily(at=(time(0), time(8), time(14, 30))),
            "Daily at 00:00, 08:00 and 14:30, Berlin",
        ),
        (
            Weekly(days=(MON, THU), at=(time(8, 30),)),
            "Weekly on Monday and Thursday at 08:30, Berlin",
        ),
        (
            Weekly(days=(MON, TUE, WED, SAT)),
            "Weekly on Monday to Wednesday and Saturday at 02:00, Berlin",
        ),
        (Monthly(days=(1, 15)), "Monthly on the 1st and 15th at 02:00, Berlin"),
        (
            Monthly(days=(2, 3, 11), last=True),
            "Monthly on the 2nd, 3rd, 11th and last day at 02:00, Berlin",
        ),
    ],
)
def test_a_cadence_reads_as_a_sentence_with_its_place(cadence: Cadence, words: str):
    """R10, R113."""
    assert sentence(cadence, "Europe/Berlin") == words


def test_a_month_without_the_day_is_said_to_skip_it():
    assert sentence(Monthly(days=(15, 30, 31)), "UTC") == (
        "Monthly on the 15th, 30th and 31st at 02:00 (months without the 30th or 31st skip it), UTC"
    )


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 2 * * *", "Daily at 02:00, Edmonton"),
        ("0 0 2 * * *", "Daily at 02:00, Edmonton"),
        ("@weekly", "Weekly on Sunday at 00:00, Edmonton"),
        ("30 8 * * 1,4", "Weekly on Monday and Thursday at 08:30, Edmonton"),
        ("0 0 1,L * *", "Monthly on the 1st and last day at 00:00, Edmonton"),
        ("*/15 * * * *", "Every 15 minutes"),
        ("* * * * *", "Every minute"),
        ("0 * * * *", "Hourly at minute 0, Edmonton"),
        ("*/5 * * * 1-5", "Every 5 minutes on Monday to Friday, Edmonton"),
        ("0 9-17 * * 1-5", "Hourly from 09:00 to 17:00 on Monday to Friday, Edmonton"),
        ("*/15 9-17 * * *", "Every 15 minutes from 09:00 to 17:45, Edmonton"),
        ("15 */2 * * *", "At 15 minutes past the hour, every 2 hours, Edmonton"),
        (
            "0,30 */2 * 12 *",
            "At 0 and 30 minutes past the hour, every 2 hours, in December, Edmonton",
        ),
        ("0 2 29 2 *", "At 02:00 on the 29th of the month in February, Edmonton"),
        ("0 2 * jan-mar MON", "At 02:00 on Monday in January to March, Edmonton"),
        ("0 0 * * 5L", "At 00:00 on the last Friday of the month, Edmonton"),
        ("0 0 * * 1#2", "At 00:00 on the second Monday of the month, Edmonton"),
        ("0 0 LW * *", "At 00:00 on the last working day of the month, Edmonton"),
        ("0 0 13 * 5", "At 00:00 on the 13th of the month or on Friday, Edmonton"),
        (
            "0 0 */14 * 1",
            "At 00:00 on the 1st, 15th and 29th of the month, if that is Monday, Edmonton",
        ),
    ],
)
def test_cron_speaks_in_the_same_voice(expression: str, words: str):
    """R10, T4: what six fields were read as is shown."""
    assert sentence(Cron(expression=expression), "America/Edmonton") == words


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 */15 * * *", "Daily at 00:00 and 15:00, Edmonton"),
        ("*/90 * * * *", "Hourly at minute 0, Edmonton"),
        ("*/25 * * * *", "Hourly at minutes 0, 25 and 50, Edmonton"),
        ("5/20 * * * *", "Hourly at minutes 5, 25 and 45, Edmonton"),
        ("0 */5 * * *", "Daily at 00:00, 05:00, 10:00, 15:00 and 20:00, Edmonton"),
        (
            "0 2 1 */5 *",
            "At 02:00 on the 1st of the month in January, June and November, Edmonton",
        ),
        ("0 2 * * */3", "Weekly on Wednesday, Saturday and Sunday at 02:00, Edmonton"),
    ],
)
def test_a_step_that_is_not_even_is_not_called_every(expression: str, words: str):
    """R10, T3."""
    assert sentence(Cron(expression=expression), "America/Edmonton") == words


@pytest.mark.parametrize(
    ("zone", "name"),
    [
        ("America/Edmonton", "Edmonton"),
        ("America/New_York", "New York"),
        ("America/Argentina/Buenos_Aires", "Buenos Aires"),
        ("UTC", "UTC"),
        ("Etc/GMT+5", "Etc/GMT+5"),
        ("US/Pacific", "US/Pacific"),
    ],
)
def test_a_place_is_its_city_or_the_name_of_the_zone(zone: str, name: str):
    assert place(zone) == name


@given(strategies.cadences, strategies.zones)
@settings(deadline=None, max_examples=500)
def test_there_is_a_sentence_for_everything(cadence: Cadence, zone: str):
    """R10."""
    words = sentence(cadence, zone)

    assert words[0].isupper()
    assert words.isprintable()
    assert "  " not in words
    assert " ," not in words
