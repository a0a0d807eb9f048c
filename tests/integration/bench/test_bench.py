"""Each measurement comes to an end with its figures, on next to nothing; what the figures say is no test's business."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.bench import report
from deploy.bench.command import app

FIELDS = {
    "propagate": {
        "per_s", "naive_per_s", "floor_per_s", "ratio_naive", "ratio_floor", "reader_per_s", "reader_ratio_floor",
        "peer_per_s", "ratio_peer",
    },
    "latency": {"p50_ms", "p99_ms", "floor_p50_ms", "floor_p99_ms", "ratio_p50", "ratio_p99"},
    "join": {"seconds", "floor_seconds", "ratio", "rows"},
    "seats": {"per_s", "floor_per_s", "ratio", "oversold", "control_oversold"},
    "growth": {"per_message_ratio"},
}  # fmt: skip
SHARE = {"propagate": 0.01, "latency": 0.03, "join": 0.002, "seats": 0.1, "growth": 0.005}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "VAR", tmp_path)


@pytest.mark.parametrize("name", FIELDS)
def test_a_measurement_gives_its_figures_as_json(name: str, tmp_path: Any) -> None:
    """One JSON array with an object for the database, with the fields that others rely on, and the same in a file."""
    words = [name, "--json", "--rounds", "1", "--database", "sqlite", "--share", str(SHARE[name])]
    if name == "propagate":
        words.append("--peers")
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    [found] = json.loads(done.stdout)
    assert found.keys() == FIELDS[name] | {"database"}
    assert found["database"] == "sqlite"
    [kept] = tmp_path.glob("*.json")
    assert json.loads(kept.read_text())["figures"] == [found]


def test_a_table_says_which_goals_are_reached(capsys: pytest.CaptureFixture[str]) -> None:
    """A person sees the goal beside each figure, and whether the figure reaches it."""
    row = {"database": "sqlite", "seconds": 1.0, "floor_seconds": 0.1, "ratio": 10.0, "rows": 5}
    report.show("join", [row, {**row, "database": "postgresql", "ratio": 3.0}], [])
    shown = capsys.readouterr().out
    assert "10.0 ✗" in shown
    assert "3.0 ✓" in shown
