"""The office's hours in figures and words, as Prometheus and an operator read them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from shared.kit.clock import Clock
from shared.network.hub.certificate import Ends, renew
from shared.network.hub.hub import HubFolder, make_hub
from shared.network.hub.tls import LIFE, make_certificates
from shared.network.office import turn
from shared.network.office.metrics import Hours
from shared.network.office.office import Asking

BEGUN = datetime(2027, 1, 10, 8, tzinfo=UTC)


class _Clock(Clock):
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


def test_what_is_left_of_the_hubs_certificate_is_a_figure() -> None:
    """Where the hub has one: without it there is no figure to be wrong about."""
    ends = Ends(["hub.example"], BEGUN + timedelta(days=40), BEGUN + timedelta(days=400), ours=True)
    found = _figures(Hours(_Clock(), BEGUN, certificate=lambda: ends))
    left = "album_hub_certificate_left_seconds"
    assert (found[f'{left}{{what="server"}}'], found[f'{left}{{what="authority"}}']) == (40 * 86400, 400 * 86400)
    assert not [name for name in _figures(Hours(_Clock(), BEGUN)) if name.startswith(left)]


def test_a_certificate_that_ends_soon_is_said_once_a_day_and_stops_nothing() -> None:
    """From thirty days before; the node stays ready, because its work goes on."""
    clock = _Clock()
    ends = Ends(["hub.example"], BEGUN + timedelta(days=31), BEGUN + timedelta(days=400), ours=True)
    hours = Hours(clock, BEGUN, certificate=lambda: ends)
    said = []
    for _ in range(4 * 24):
        said.append(hours.ends_soon())
        clock.time += timedelta(hours=1)
    assert [end for end in said if end] == [ends.server] * 3
    assert hours.stopped() == {}


class _Office:
    """An office that has nothing to do."""

    async def keep_fresh(self) -> None:
        """Do nothing."""

    async def asking(self) -> list[Asking]:
        """Have nobody ask."""
        return []


async def _one_turn(
    folder: HubFolder, monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[str, float], list[str], list[str]]:
    """Run the office's hours once; gives its figures, what it logged, and what stops it."""

    @asynccontextmanager
    async def opened(*_: object) -> AsyncIterator[_Office]:
        yield _Office()

    async def no_pause(_: float) -> None:
        return

    endings = chain([False] * 2, repeat(True))
    monkeypatch.setattr(turn, "open_office", opened)
    monkeypatch.setattr(turn, "pause", no_pause)
    monkeypatch.setattr(turn, "is_ending", lambda: next(endings))
    node: Any = SimpleNamespace(
        settings=SimpleNamespace(hub_dir=str(folder.path), hub="rediss://hub.example:6380"),
        works=SimpleNamespace(clock=_Clock()),
        registry=CollectorRegistry(),
        stops={},
        database=None,
    )
    said: list[str] = []
    monkeypatch.setattr(turn, "log", SimpleNamespace(warning=lambda event, **_: said.append(event)))
    await turn.turn(node)
    lines = [line.rsplit(" ", 1) for line in generate_latest(node.registry).decode().splitlines() if line[0] != "#"]
    stopped = [word for stops in node.stops.values() for word in stops()]
    return {name: float(value) for name, value in lines}, said, stopped


async def test_the_offices_node_reads_the_certificate_from_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its figure and its word in the log come from the file that the hub has; readiness is not touched by it."""
    folder = HubFolder(tmp_path / "hub")
    made = make_certificates(["hub.example"], BEGUN - timedelta(days=5), timedelta(days=20))
    make_hub(folder, random=Random(7).randbytes, certificates=made)
    figures, said, stopped = await _one_turn(folder, monkeypatch)
    assert figures['album_hub_certificate_left_seconds{what="server"}'] == 15 * 86400
    assert (said, stopped) == (["hub_certificate_ends"], [])
    renew(folder, BEGUN)
    figures, said, stopped = await _one_turn(folder, monkeypatch)
    assert figures['album_hub_certificate_left_seconds{what="server"}'] == LIFE.total_seconds()
    assert (said, stopped) == ([], [])


async def test_a_certificate_that_nobody_can_read_takes_no_other_figure_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The office's hours go on, and what else they tell is told."""
    folder = HubFolder(tmp_path / "hub")
    make_hub(folder, random=Random(7).randbytes, certificates=make_certificates(["hub.example"], BEGUN))
    folder.certificate.write_text("nothing", "utf-8")
    figures, said, stopped = await _one_turn(folder, monkeypatch)
    assert (figures["album_office_failures"], said, stopped) == (0.0, [], [])
    assert not [name for name in figures if name.startswith("album_hub_certificate")]
