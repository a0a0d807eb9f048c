"""The link in figures, for Prometheus."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shared.network.link.link import Link


class LinkCollector(Collector):
    """Reads the figures off a link when they are asked for."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def collect(self) -> Iterator[Metric]:
        """Give what went up and down, what waits and why, the roster's age, and when each writer was heard."""
        link = self._link
        sent = CounterMetricFamily("album_link_sent", "Entries brought to the hub", labels=["stream"])
        taken = CounterMetricFamily("album_link_taken", "Entries brought in from the hub", labels=["stream"])
        stopped = GaugeMetricFamily("album_link_stopped", "Streams that wait, by reason", labels=["stream", "code"])
        heard = GaugeMetricFamily("album_link_heard_seconds", "Age of a writer's heartbeat", labels=["stream"])
        for up in list(link.ups.values()):
            sent.add_metric([up.stream], up.sent)
            if up.stopped:
                stopped.add_metric([up.stream, up.stopped.code], 1)
        for down in list(link.downs.values()):
            taken.add_metric([down.stream], down.taken)
            for why in filter(None, (down.stopped, down.listener.doubt)):
                stopped.add_metric([down.stream, why.code], 1)
            if down.listener.heard:
                heard.add_metric([down.stream], (link.clock.now() - down.listener.heard).total_seconds())
        yield from (sent, taken, stopped, heard)
        yield from self._roster()

    def _roster(self) -> Iterator[Metric]:
        roster = self._link.roster
        left = (roster.expires - self._link.clock.now()).total_seconds() if roster else 0.0
        yield GaugeMetricFamily("album_link_roster_version", "The roster held", roster.version if roster else 0)
        yield GaugeMetricFamily("album_link_roster_left_seconds", "Seconds until the roster expires", left)
