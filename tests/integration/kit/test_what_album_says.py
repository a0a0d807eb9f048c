"""What lies outside the program ends a command with one line that says what to do; a fault of the program does not."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

from shared.kit.sentences import Unable, in_one_line, sentence_of
from shared.network.identity import Identity
from tests.journeys.network_house import Operator

SECRET = "geheim"
AWAY = "rediss://127.0.0.1:1"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Operator, dict[str, str]]]:
    """Give the operator of a migrated node on which courses has read a stream once, and its environment."""
    folder = tmp_path_factory.mktemp("says")
    environment = {
        "PATH": os.environ["PATH"],
        "ALBUM_DATABASE": f"sqlite:///{folder}/{{service}}.db",
        "ALBUM_REDIS": f"redis://:{SECRET}@127.0.0.1:1/0",
    }
    operator = Operator(folder)
    operator.run(("migrate",), environment)
    with closing(sqlite3.connect(folder / "courses.db")) as database, database:
        database.execute("INSERT INTO cursor (stream, epoch, seq) VALUES ('album:1:pub:{awo}:events', 1, 1)")
    environment["ALBUM_IDENTITIES"] = str(folder / "network")
    Identity.make("kargah", os.urandom).save(folder / "network" / "kargah.json")
    (folder / "network" / "awo.json").write_text("{}")
    (folder / "network" / "vnb.json").write_text("{}")
    (folder / "network" / "vnb.json").chmod(0o600)
    yield operator, environment
    operator.stop()


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [
        ("streams", {}, "Redis does not answer: ConnectionError; is it running? ALBUM_REDIS names 127.0.0.1:1/0"),
        ("streams", {"ALBUM_REDIS": "redis://no-such-host.invalid"}, "ALBUM_REDIS names no-such-host.invalid"),
        ("streams", {"ALBUM_REDIS": f"foo:{SECRET}"}, "ALBUM_REDIS must be an address such as redis://"),
        ("network requests", {"ALBUM_HUB": f"foo:{SECRET}"}, "ALBUM_HUB must be an address"),
        ("keys list", {"ALBUM_DATABASE": SECRET}, "ALBUM_DATABASE must be an address such as postgresql://"),
        ("keys list", {"ALBUM_DATABASE": f"mysql://x:{SECRET}@host/x"}, "ALBUM_DATABASE must be an address"),
        ("keys list", {"ALBUM_RATE": SECRET}, "ALBUM_RATE should be a valid number"),
        ("keys list", {"ALBUM_OFFER_TIME": "48h"}, "ALBUM_OFFER_TIME should be a valid timedelta"),
        ("keys list", {"ALBUM_PORTS": SECRET}, "ALBUM_PORTS is no JSON"),
        ("keys list", {"ALBUM_PORTS": '{"members": "x"}'}, "ALBUM_PORTS (members) should be a valid integer"),
        ("keys list", {"ALBUM_SECRET_FILE": "/nonexistent/secret"}, "/nonexistent/secret: No such file"),
        ("export ics --out /nonexistent/x", {}, "/nonexistent/x.part: No such file"),
        ("hub init --dir /proc/x", {}, "/proc/x: "),
        ("network rotate kargah", {}, "ALBUM_HUB is not set"),
        ("network rotate kargah", {"ALBUM_HUB": AWAY}, "the hub does not answer, or does not let us in: "),
        ("network rotate kargah", {"ALBUM_HUB": AWAY, "ALBUM_HUB_CA": "/nonexistent"}, "ALBUM_HUB_CA names /nonexist"),
        ("network rotate nobody", {"ALBUM_HUB": AWAY}, "this node has no keys of 'nobody' in "),
        ("network rotate awo", {"ALBUM_HUB": AWAY}, "others may read "),
        ("network rotate vnb", {"ALBUM_HUB": AWAY}, "vnb.json holds no keys"),
        ("network requests", {"ALBUM_HUB": AWAY, "ALBUM_HUB_DIR": "/nonexistent"}, "there is no hub in /nonexistent"),
        *(
            (words, {"ALBUM_DATABASE": f"postgresql://x:{SECRET}@127.0.0.1:1/album"}, "names 127.0.0.1:1/album")
            for words in ("parked list", "migrate", "streams", "network status")
        ),
    ],
)
def test_a_command_says_in_one_line_what_is_wrong_outside(
    words: str, environment: dict[str, str], said: str, node: tuple[Operator, dict[str, str]]
) -> None:
    """The exit code is 1, the line names what to look at, and never a value that may be secret."""
    operator, usual = node
    with pytest.raises(RuntimeError) as failed:
        operator.run(tuple(words.split()), {**usual, **environment})
    head, *lines = str(failed.value).splitlines()
    assert head.endswith("failed with 1:")
    assert len(lines) == 1
    assert said in lines[0]
    assert SECRET not in lines[0]


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"ALBUM_RATE": "abc"}, "ALBUM_RATE should be"),
        ({"ALBUM_DATABASE": SECRET}, "ALBUM_DATABASE must be"),
        ({"ALBUM_DATABASE": f"postgresql://x:{SECRET}@127.0.0.1:1/album"}, "names 127.0.0.1:1/album"),
    ],
    ids=str,
)
def test_a_service_says_so_too(environment: dict[str, str], said: str) -> None:
    """`python -m services.courses` does not begin with a setting that cannot be read."""
    done = subprocess.run(
        [sys.executable, "-m", "services.courses"],
        env={"PATH": os.environ["PATH"], "ALBUM_SECRET": "x" * 32, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert said in done.stderr
    assert SECRET not in done.stderr


def test_a_fault_of_the_program_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """Only what is known to lie outside becomes a line."""
    for fault in (KeyError("x"), ValueError("x"), RuntimeError("x")):
        assert sentence_of(fault) is None
        with pytest.raises(type(fault)), in_one_line():
            raise fault
    with pytest.raises(SystemExit, match="1"), in_one_line():
        raise Unable("what to do")
    assert capsys.readouterr().err == "what to do\n"
