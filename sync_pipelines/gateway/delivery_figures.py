"""What Prometheus is told of notifications: what waits, what was given up, how long it took."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily

from sync_pipelines.catalog.delivered import BUCKETS, Arrived, Outbox


@dataclass(slots=True)
class _Tally:
    latency: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    seconds: float = 0.0


class Deliveries:
    """What arrived since the process began, by channel."""

    def __init__(self) -> None:
        self._tallies: dict[str, _Tally] = defaultdict(_Tally)

    def add(self, arrived: Sequence[Arrived]) -> None:
        """Count these too."""
        for one in arrived:
            tally = self._tallies[one.channel]
            tally.latency = [sum(pair) for pair in zip(tally.latency, one.latency, strict=True)]
            tally.seconds += one.seconds

    def told(self) -> Iterator[Metric]:
        """How long messages were on their way."""
        family = HistogramMetricFamily(
            "sync_delivery_latency_seconds",
            "From when a notification was due to when it arrived.",
            labels=("channel",),
        )
        bounds = [*map(str, BUCKETS), "+Inf"]
        for channel, tally in sorted(self._tallies.items()):
            summed = [
                (bound, sum(tally.latency[: place + 1])) for place, bound in enumerate(bounds)
            ]
            family.add_metric((channel,), summed, tally.seconds)
        yield family


def told_outbox(found: Outbox) -> Iterator[Metric]:
    """What is in the outbox."""
    for name, text, values in (
        ("sync_outbox_pending", "Notifications that are on their way.", found.pending),
        ("sync_outbox_failing", "Those that wait after an attempt in vain.", found.failing),
        ("sync_outbox_dead", "Notifications that were given up.", found.dead),
    ):
        yield _by_channel(name, text, values)
    oldest = found.oldest.total_seconds()
    yield GaugeMetricFamily(
        "sync_outbox_oldest_seconds", "How long the first that is due has been.", value=oldest
    )


def _by_channel(name: str, text: str, values: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=("channel",))
    for channel, value in sorted(values.items()):
        family.add_metric((channel,), value)
    return family
