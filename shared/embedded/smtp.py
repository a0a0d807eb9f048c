"""A catcher for mail: a real SMTP server that delivers nothing and keeps everything."""

import asyncio
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from types import TracebackType
from typing import Self

from shared.embedded.ports import HOST
from shared.embedded.smtp_script import Answer, Moment, Script, always_yes
from shared.embedded.smtp_session import Connection


@dataclass(frozen=True)
class Mail:
    """One mail as it arrived: parsed, raw, its envelope, and when (UTC)."""

    message: EmailMessage
    raw: bytes
    sender: str
    recipients: tuple[str, ...]
    arrived_at: datetime


class Catcher:
    """An SMTP server on 127.0.0.1 in a thread of its own; `script` may answer in its place at every moment."""

    def __init__(
        self,
        folder: Path | None = None,
        port: int = 0,
        *,
        script: Script = always_yes,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.folder, self.port, self.script, self.now = folder, port, script, now
        self.connections = 0
        self._mails: list[Mail] = []
        self._news = threading.Condition()
        self._open: set[Connection] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._server: asyncio.Server | None = None

    @property
    def host(self) -> str:
        """The address it listens on."""
        return HOST

    @property
    def address(self) -> str:
        """Host and port, as ALBUM_SMTP wants them."""
        return f"{HOST}:{self.port}"

    @property
    def mails(self) -> list[Mail]:
        """The mails so far, in the order they arrived."""
        with self._news:
            return list(self._mails)

    def mails_to(self, recipient: str) -> list[Mail]:
        """The mails so far whose envelope names the recipient."""
        return [mail for mail in self.mails if recipient in mail.recipients]

    def clear(self) -> None:
        """Forget the mails so far; files stay."""
        with self._news:
            self._mails.clear()

    def wait_for(self, count: int, seconds: float = 10.0) -> Sequence[Mail]:
        """Block until so many mails have arrived and return them; TimeoutError says how many came instead."""
        with self._news:
            if not self._news.wait_for(lambda: len(self._mails) >= count, seconds):
                raise TimeoutError(f"{len(self._mails)} of {count} mails after {seconds} s")
            return list(self._mails)

    def start(self) -> None:
        """Listen; a port of 0 is replaced by one the system gives."""
        if self._thread:
            return
        if self.folder:
            self.folder.mkdir(parents=True, exist_ok=True)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="smtp-catcher", daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()

    def stop(self) -> None:
        """Hang up on everybody and stop listening; the mails stay readable."""
        if self._loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._hang_up(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, HOST, self.port, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _hang_up(self) -> None:
        if self._server:
            self._server.close()
        for connection in self._open:
            if connection.line:
                connection.line.abort()
        here = asyncio.current_task()
        await asyncio.sleep(0)  # the aborted lines cancel their tasks
        left = [task for task in asyncio.all_tasks() if task is not here]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _connection(self) -> Connection:
        self.connections += 1
        made = Connection(self.connections, self._ask, self._keep, asyncio.get_running_loop())
        self._open = {known for known in self._open if known.line and not known.line.is_closing()} | {made}
        return made

    def _ask(self, moment: Moment) -> Answer | None:
        return self.script(moment)  # looked up each time: a test may change the script while connections are open

    def _keep(self, sender: str, recipients: tuple[str, ...], raw: bytes) -> None:
        message = message_from_bytes(raw, policy=policy.default)
        mail = Mail(message, raw, sender, recipients, self.now())
        if self.folder:
            _save(mail, self.folder)
        with self._news:
            self._mails.append(mail)
            self._news.notify_all()


def _save(mail: Mail, folder: Path) -> None:
    to = re.sub(r"[^A-Za-z0-9.@_-]", "_", mail.recipients[0])[:80]
    number = len(list(folder.glob("*.eml"))) + 1
    half = folder / f".{number:05}.part"
    half.write_bytes(mail.raw)
    half.rename(folder / f"{number:05}-{to}.eml")  # whoever lists the folder sees whole mails only
