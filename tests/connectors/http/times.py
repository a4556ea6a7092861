"""A time that passes by sleeping alone."""

from datetime import UTC, datetime, timedelta

from connectors.http.outside import Outside

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


class Time:
    """Stands still but for what is slept."""

    def __init__(self):
        self.now = NOW
        self.slept = []

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)

    @property
    def outside(self):
        return Outside(now=lambda: self.now, chance=lambda: 0.5, sleep=self.sleep)
