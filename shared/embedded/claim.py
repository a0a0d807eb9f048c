"""One folder, one server: a lock that lives as long as the server that holds it."""

import fcntl
import os
import signal
import time
from pathlib import Path


class FolderInUseError(RuntimeError):
    """Another process runs a server on the folder."""


def claim(folder: Path) -> int:
    """Lock the folder and return the open lock, to be handed to the server; an orphaned server is ended first.

    Two servers writing one append-only file destroy it, so a folder in use by a living process is refused.
    """
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    for _ in range(100):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _end_orphan(folder, lock)
            time.sleep(0.1)
            continue
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()} 0".encode(), 0)
        return lock
    os.close(lock)
    raise FolderInUseError(f"{folder} is still locked by a server that does not end")


def note_server(lock: int, server: int) -> None:
    """Write into the lock who started the server and which process it is."""
    os.pwrite(lock, f"{os.getpid()} {server}".encode(), 0)


def _end_orphan(folder: Path, lock: int) -> None:
    owner, _, server = os.pread(lock, 64, 0).decode().partition(" ")
    if owner == str(os.getpid()):
        return  # a fork of our own killed server still writes its last file: it ends in a moment
    if not server or _alive(int(owner)):
        os.close(lock)
        raise FolderInUseError(f"{folder} is in use by process {owner or 'unknown'}; stop that one first")
    if int(server) and _alive(int(server)):
        os.kill(int(server), signal.SIGTERM)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
