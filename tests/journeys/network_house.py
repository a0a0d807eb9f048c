"""A network for journeys across nodes: a hub with its rules, and the office's node with the services they need."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from httpx import codes

from deploy.nodes.hub import Hub
from deploy.nodes.node import Node

_PATIENCE = 60.0


class Operator:
    """The command `album`, kept loaded for many short calls."""

    def __init__(self, folder: Path) -> None:
        self._printed = folder / "printed.txt"
        words = [sys.executable, "-m", "tests.journeys.operator_ready"]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, words: tuple[str, ...], environment: dict[str, str]) -> str:
        """Run a command and give what it printed; one that fails ends the journey with its own words."""
        asked = {"words": words, "environment": environment, "printed": str(self._printed)}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        code = self._process.stdout.readline().strip()
        printed = self._printed.read_text("utf-8")
        if code != "0":
            raise RuntimeError(f"album {' '.join(words)} failed with {code}:\n{printed}")
        return printed

    def stop(self) -> None:
        """End the process."""
        self._process.communicate()


@dataclass
class HouseNode(Node):
    """A node whose operator is quick."""

    operator: Operator | None = None

    def album(self, *words: str) -> str:
        """Run the operator's command and give what it printed."""
        assert self.operator is not None
        return self.operator.run(words, self.environment)


@dataclass
class House:
    """A hub, the office's node and its keys; further nodes and partners come by `node` and `invite`."""

    folder: Path
    hub: Hub
    operator: Operator
    office: HouseNode
    nodes: list[HouseNode] = field(default_factory=list)

    def node(self, slug: str) -> HouseNode:
        """Give a further node that has joined; its services are started by whoever asks."""
        made = HouseNode(self.folder / slug, slug=slug, hub=self.hub, operator=self.operator)
        made.prepare()
        self.nodes.append(made)
        made.join(self.office)
        return made

    def invite(self, slug: str) -> str:
        """Give the code with which a system of another make joins over a line of its own."""
        address = f"rediss://127.0.0.1:{self.hub.line(slug).port}"
        return str(json.loads(self.office.album("network", "invite", slug, "--hub-address", address, "--json"))["code"])

    def make_active(self, slug: str) -> None:
        """Have the office take an institution into the network's life."""
        self.office.album("institutions", "add", slug, "--name", slug.upper(), "--active")

    def key(self, slug: str, *scopes: str) -> str:
        """Give a key for the requests of an institution that the office's node hosts."""
        words = [word for scope in scopes for word in ("--scope", scope)]
        printed = self.office.album("keys", "issue", "--institution", slug, *words, "--json")
        return str(json.loads(printed.strip().splitlines()[-1])["key"])


def _wait_for(node: HouseNode, service: str) -> None:
    """Wait until a service answers; one that is dead already is not waited for."""
    url = f"{node.urls[service]}/health/ready"
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until and node.processes[service].poll() is None:
        with suppress(httpx.TransportError):
            if httpx.get(url).status_code == codes.OK:
                return
        time.sleep(0.1)
    raise RuntimeError(f"{service} does not answer at {url}")


@contextmanager
def running_house(folder: Path, services: tuple[str, ...] = ("members", "courses")) -> Iterator[House]:
    """Give a network whose office runs some services; what they logged is shown when a journey fails."""
    folder.mkdir(parents=True, exist_ok=True)
    operator = Operator(folder)
    hub = Hub(folder / "hub")
    office = HouseNode(folder / "office", hub=hub, operator=operator)
    house = House(folder, hub, operator, office)
    try:
        hub.make()
        hub.start()
        office.prepare()
        office.join(office)
        for service in services:
            office.start_service(service)
        for service in services:
            _wait_for(office, service)
        yield house
    finally:
        for node in (*house.nodes, office):
            node.stop()
        hub.stop()
        operator.stop()
        for log in sorted(folder.glob("*/*.log")):
            lines = log.read_text("utf-8", "replace").splitlines()
            print(f"--- {log}", *lines[-25:], sep="\n")  # noqa: T201 - pytest shows it when a journey fails
