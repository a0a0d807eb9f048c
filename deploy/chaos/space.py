"""A network namespace for one node, joined to the machine by a pair of virtual cables; parts of the line can be cut."""

import os
import shutil
import subprocess
from dataclasses import dataclass

BOTH, OUT, IN = "both", "out", "in"


def possible() -> bool:
    """Tell whether this machine lets us make network namespaces."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "iptables", "nsenter"))):
        return False
    name = f"album-try-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode == 0
    if made:
        done = subprocess.run(
            ["nsenter", f"--net=/run/netns/{name}", "iptables", "-L"], capture_output=True, check=False
        )
        made = done.returncode == 0
        _run("ip", "netns", "del", name)
    return made


@dataclass
class Space:
    """A namespace with one cable; `here` is the machine's end of it, `there` the node's."""

    number: int

    @property
    def name(self) -> str:
        """Give the name of the namespace."""
        return f"album-{os.getpid()}-{self.number}"

    @property
    def here(self) -> str:
        """Give the address of this machine as the node sees it."""
        return f"10.{231 + self.number}.{os.getpid() % 250}.1"

    @property
    def there(self) -> str:
        """Give the node's address."""
        return f"10.{231 + self.number}.{os.getpid() % 250}.2"

    @property
    def within(self) -> tuple[str, ...]:
        """Give the words before a command that is to run there."""
        return ("nsenter", f"--net=/run/netns/{self.name}")

    def make(self) -> None:
        """Make the namespace and its cable."""
        cable = f"al{os.getpid() % 100_000}n{self.number}"
        _run("ip", "netns", "add", self.name)
        _run("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        _run("ip", "addr", "add", f"{self.here}/30", "dev", cable)
        _run("ip", "link", "set", cable, "up")
        inside = ("ip", "-n", self.name)
        _run(*inside, "addr", "add", f"{self.there}/30", "dev", "eth0")
        for device in ("lo", "eth0"):
            _run(*inside, "link", "set", device, "up")

    def cut(self, port: int, direction: str) -> None:
        """Lose every packet between the node and a port of this machine: out of the node, into it, or both."""
        if direction in {BOTH, OUT}:
            self._drop("OUTPUT", "-d", self.here, "--dport", port)
        if direction in {BOTH, IN}:
            self._drop("INPUT", "-s", self.here, "--sport", port)

    def lost(self) -> int:
        """Count the packets that were lost so far, since the last mending."""
        shown = _run(*self.within, "iptables", "-L", "-v", "-n", "-x")
        return sum(int(line.split()[0]) for line in shown.splitlines() if " DROP " in line)

    def mend(self) -> None:
        """Lose nothing any more."""
        _run(*self.within, "iptables", "-F")

    def remove(self) -> None:
        """Take the namespace away, and the cable with it."""
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, check=False)

    def _drop(self, table: str, address: str, host: str, side: str, port: int) -> None:
        _run(*self.within, "iptables", "-I", table, "-p", "tcp", address, host, side, str(port), "-j", "DROP")


def _run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout
