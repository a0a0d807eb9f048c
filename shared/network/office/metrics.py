"""The office's hours in figures and words: whether the hub is kept up to date, its certificate, and who waits."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shared.kit.clock import Clock
from shared.network.hub.certificate import SOON, Ends
from shared.network.office.office import Asking

SAID_FROM = 2
"""One failure may be a restart of the hub; the second one in a row is said."""


@dataclass(eq=False)  # a registry of figures keeps it by its identity
class Hours(Collector):
    """How the office's turn goes: since when it fails and why, and who asks for something."""

    clock: Clock
    begun: datetime
    failures: int = 0
    reason: str = ""
    kept_at: datetime | None = None
    asking: list[Asking] = field(default_factory=list)
    certificate: Callable[[], Ends | None] = lambda: None
    looked_on: date | None = None

    def kept(self, asking: list[Asking]) -> None:
        """Note that the hub is as the office decided."""
        self.failures, self.reason, self.kept_at, self.asking = 0, "", self.clock.now(), asking

    def failed(self, reason: str) -> int:
        """Note that it could not be brought there; gives how often in a row."""
        self.failures, self.reason = self.failures + 1, reason
        return self.failures

    def stopped(self) -> dict[str, str]:
        """Say in words what waits for an operator."""
        return {"office": f"the hub is not kept up to date: {self.reason}"} if self.failures >= SAID_FROM else {}

    def ends_soon(self) -> datetime | None:
        """Give when the hub's certificate or its authority ends, once a day from thirty days before."""
        now, ends = self.clock.now(), None
        if self.looked_on != now.date():
            self.looked_on, ends = now.date(), self.certificate()
        end = min(ends.server, ends.authority) if ends else None
        return end if end and end - now < SOON else None

    def collect(self) -> Iterator[Metric]:
        """Give the failures in a row, the age of the last success, who waits, and what is left of the certificate."""
        age = (self.clock.now() - (self.kept_at or self.begun)).total_seconds()
        yield GaugeMetricFamily("album_office_failures", "Failures in a row to keep the hub up to date", self.failures)
        yield GaugeMetricFamily("album_office_kept_seconds", "Seconds since the hub was last kept up to date", age)
        waiting = GaugeMetricFamily("album_office_asking", "Institutions that wait for the office", labels=["what"])
        counted = Counter(one.what for one in self.asking)
        for what in ("join", "rotate"):
            waiting.add_metric([what], counted[what])
        yield waiting
        yield from self._certificate()

    def _certificate(self) -> Iterator[Metric]:
        ends, now = self.certificate(), self.clock.now()
        if ends is None:
            return
        left = GaugeMetricFamily(
            "album_hub_certificate_left_seconds", "Seconds until the hub's certificate ends", labels=["what"]
        )
        left.add_metric(["server"], (ends.server - now).total_seconds())
        left.add_metric(["authority"], (ends.authority - now).total_seconds())
        yield left
