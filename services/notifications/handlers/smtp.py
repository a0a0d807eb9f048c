"""The way out: one connection to the mail server that is used again and again, and answers as they are."""

import asyncio
from dataclasses import dataclass

import aiosmtplib
from aiosmtplib import SMTP, SMTPResponseException

from services.notifications.domain.answers import Answer, Phase

# One step may take the patience; all steps of a mail together so many times that.
PATIENCE_FOR_ALL = 4


@dataclass(frozen=True)
class Server:
    """Which mail server takes our mail, and how we speak to it; `tls` is `none`, `starttls` or `tls`."""

    host: str
    port: int
    tls: str = "none"
    user: str | None = None
    password: str | None = None
    patience: float = 60.0


class Line:
    """A connection to a mail server; one mail at a time."""

    def __init__(self, server: Server, mail_from: str) -> None:
        self._server = server
        self._from = mail_from
        self._client: SMTP | None = None
        self._phase = Phase.connect

    async def send(self, recipient: str, body: bytes) -> Answer:
        """Hand a mail over and give the answer that decides; never raises for what a server or a network does."""
        used_before = self._client is not None and self._client.is_connected
        answer = await self._once(recipient, body)
        if used_before and answer.code is None and answer.phase is Phase.mail:
            # The server hung up while the line was idle: that says nothing about this mail.
            answer = await self._once(recipient, body)
        return answer

    async def close(self) -> None:
        """Say goodbye, or hang up."""
        client, self._client = self._client, None
        if client is None:
            return
        try:
            await client.quit(timeout=1.0)
        except (aiosmtplib.SMTPException, OSError):
            client.close()

    async def _once(self, recipient: str, body: bytes) -> Answer:
        self._phase = Phase.connect
        try:
            async with asyncio.timeout(self._server.patience * PATIENCE_FOR_ALL):
                answer = await self._spoken(recipient, body)
        except SMTPResponseException as refused:
            answer = Answer(self._phase, refused.code if refused.code > 0 else None, _line(refused.message))
        except OSError as lost:
            answer = Answer(self._phase, None, type(lost).__name__)
        except aiosmtplib.SMTPException as lacking:
            # All others are about what the server does not offer: no STARTTLS, no login.
            answer = Answer(self._phase, 504, _line(lacking.message))
        await self._tidy(answer)
        return answer

    async def _spoken(self, recipient: str, body: bytes) -> Answer:
        client = await self._connected()
        self._phase = Phase.mail
        await client.mail(self._from)
        self._phase = Phase.rcpt
        await client.rcpt(recipient)
        return await self._hand_over(client, body)

    async def _connected(self) -> SMTP:
        if self._client is not None and self._client.is_connected:
            return self._client
        self._client = SMTP(
            hostname=self._server.host,
            port=self._server.port,
            use_tls=self._server.tls == "tls",
            start_tls=self._server.tls == "starttls",
            timeout=self._server.patience,
        )
        await self._client.connect()
        await self._client.ehlo()
        if self._server.user:
            self._phase = Phase.login
            await self._client.login(self._server.user, self._server.password or "")
        return self._client

    async def _hand_over(self, client: SMTP, body: bytes) -> Answer:
        """Send DATA and the mail in two steps of our own: only so it is known whether the mail itself had begun."""
        self._phase = Phase.data
        response = await client.execute_command(b"DATA")
        if response.code != aiosmtplib.SMTPStatus.start_input or client.protocol is None:
            return Answer(Phase.data, response.code, _line(response.message))
        # From the next line on the server may have the whole mail although no answer comes back.
        self._phase = Phase.end
        client.protocol.write(_stuffed(body))
        response = await client.protocol.read_response(timeout=self._server.patience)
        return Answer(Phase.end, response.code, _line(response.message))

    async def _tidy(self, answer: Answer) -> None:
        """Leave a clean line for the next mail."""
        if answer.accepted:
            return
        broken = answer.code is None or answer.code == 421 or answer.phase in {Phase.connect, Phase.login}
        client = self._client
        if not broken and client is not None and client.is_connected:
            try:
                await client.rset()
            except (aiosmtplib.SMTPException, OSError):
                broken = True
        if broken and client is not None:
            client.close()
            self._client = None


def _stuffed(body: bytes) -> bytes:
    """Double the dots at the beginnings of lines and add the final dot (RFC 5321, 4.5.2)."""
    stuffed = body.replace(b"\r\n.", b"\r\n..")
    stuffed = b"." + stuffed if stuffed.startswith(b".") else stuffed
    return stuffed + (b".\r\n" if stuffed.endswith(b"\r\n") else b"\r\n.\r\n")


def _line(message: str) -> str:
    return " ".join(message.encode("utf-8", "replace").decode("utf-8").split())
