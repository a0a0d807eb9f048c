"""What Prometheus is told of webhooks: attempts by outcome, pushes and webhooks by state."""

from collections import Counter as Tally
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge

from services.notifications.domain.push import Outcome, PushState
from services.notifications.domain.webhook import WebhookState
from services.notifications.store import Store
from shared.kit.node import Node


@dataclass(frozen=True)
class Figures:
    """The figures of one running service."""

    attempts: Counter
    pushes: Gauge
    webhooks: Gauge

    def count(self, outcome: Outcome) -> None:
        """Count an attempt."""
        self.attempts.labels(outcome.value).inc()


def figures_of(registry: CollectorRegistry) -> Figures:
    """Give the figures that belong to a registry; made once, for a registry refuses a second name."""
    known: Figures | None = getattr(registry, "album_webhook_figures", None)
    if known is None:
        known = Figures(
            Counter("album_webhook_attempts", "Attempts to push a message", ["outcome"], registry=registry),
            Gauge("album_webhook_pushes", "Pushes that are kept", ["state"], registry=registry),
            Gauge("album_webhooks", "Webhooks", ["state"], registry=registry),
        )
        registry.album_webhook_figures = known  # type: ignore[attr-defined] # lives and dies with the registry
    return known


async def measure(node: Node[Store]) -> None:
    """Set the gauges."""
    figures = figures_of(node.registry)
    async with node.works.looking() as store:
        webhooks = Tally(one.state for one in await store.webhooks.of(None))
        pushes = await store.pushes.counts() if webhooks else {}
    for kind in WebhookState:
        figures.webhooks.labels(kind.value).set(webhooks[kind])
    for state in PushState:
        figures.pushes.labels(state.value).set(sum(n for (_, one), n in pushes.items() if one is state))
