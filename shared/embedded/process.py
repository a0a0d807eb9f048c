"""One server program as a child process."""

import atexit
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

PATIENCE = 30.0
"""Seconds a server has for coming up or going down."""


class ServerProcess:
    """A server program with its log in a file; it dies with the process that started it, unless that is killed."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        ready: Callable[[], bool],
        user: str | None = None,
        keep_open: Sequence[int] = (),
    ) -> None:
        self.command, self.log, self.ready, self.user, self.keep_open = command, log, ready, user, tuple(keep_open)
        self.child: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Say whether the program runs."""
        return self.child is not None and self.child.poll() is None

    def start(self) -> None:
        """Start the program and wait until it answers; a start that fails at once is tried again until time is up."""
        if self.running:
            return
        atexit.register(self.kill)
        until = time.monotonic() + PATIENCE
        self._spawn()
        while not (self.ready() and self.running):
            if time.monotonic() > until:
                self.kill()
                raise RuntimeError(f"{self.command[0]} does not start; the end of {self.log}:\n{self._last_lines()}")
            time.sleep(0.02)
            if not self.running:  # what the killed one before still holds (port, shared memory) is freed in a moment
                time.sleep(0.2)
                self._spawn()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Ask the program to end and wait for it."""
        self._end(how)

    def kill(self) -> None:
        """End the program without a warning, as a crash would."""
        self._end(signal.SIGKILL)

    def _spawn(self) -> None:
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(  # noqa: S603 - the command is put together here, never from input
                list(self.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C must reach the services before the servers they stand on
                pass_fds=self.keep_open,
                cwd="/",
                **identity(self.user),
            )

    def _end(self, how: signal.Signals) -> None:
        atexit.unregister(self.kill)
        if self.child is None:
            return
        if self.child.poll() is None:
            self.child.send_signal(how)
        try:
            self.child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.child = None

    def _last_lines(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])


def identity(user: str | None) -> dict[str, Any]:
    """Return the arguments with which `subprocess` runs a program as a user; none if nobody is named."""
    if user is None:
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
