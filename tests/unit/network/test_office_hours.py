"""The office's hours in figures and words, as Prometheus and an operator read them."""

from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry, generate_latest

from shared.network.office.metrics import Hours
from shared.network.office.office import Asking

BEGUN = datetime(2027, 1, 10, 8, tzinfo=UTC)


class _Clock:
    time = BEGUN

    def now(self) -> datetime:
        """Give the time that the test has set."""
        return self.time

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.time += timedelta(seconds=seconds)


def _figures(hours: Hours) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(hours)
    lines = [line.rsplit(" ", 1) for line in generate_latest(registry).decode().splitlines() if line[0] != "#"]
    return {name: float(value) for name, value in lines}


def test_who_waits_for_the_office_is_counted() -> None:
    """An alert can ring before somebody asks by telephone why nothing happens."""
    hours = Hours(_Clock(), BEGUN)
    hours.kept([Asking("awo", "join", "00"), Asking("vhs", "rotate", "01"), Asking("amfn", "join", "02")])
    found = _figures(hours)
    assert (found['album_office_asking{what="join"}'], found['album_office_asking{what="rotate"}']) == (2.0, 1.0)


def test_a_hub_that_cannot_be_kept_is_said_from_the_second_time_on() -> None:
    """A restart of the hub is no alarm; what lasts is said in words until it is over."""
    clock = _Clock()
    hours = Hours(clock, BEGUN)
    assert hours.failed("the hub does not answer") == 1
    assert hours.stopped() == {}
    assert hours.failed("the hub does not answer") == 2
    assert hours.stopped() == {"office": "the hub is not kept up to date: the hub does not answer"}
    clock.time += timedelta(minutes=5)
    assert _figures(hours)["album_office_failures"] == 2.0
    assert _figures(hours)["album_office_kept_seconds"] == 300.0
    hours.kept([])
    assert hours.stopped() == {}
    assert _figures(hours)["album_office_kept_seconds"] == 0.0
