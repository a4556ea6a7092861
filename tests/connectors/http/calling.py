"""A client that calls a provider, in a time that passes by sleeping alone."""

from datetime import UTC, datetime, timedelta

from connectors.http.client import HttpClient, Limits
from connectors.http.outside import Outside

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SECRET = "s3cr3t+/key"


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


def opened(api, time, *, auth=None, limits=Limits(), **how):  # noqa: B008
    signer = {} if auth is None else {"signer": auth.signer(None, time.outside)}
    how = {"allow_private": True, "outside": time.outside, **signer, **how}
    return HttpClient(base_url=api.url, limits=limits, **how)
