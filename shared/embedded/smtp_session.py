"""One SMTP connection whose every answer may come from a script."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from aiosmtpd.smtp import SMTP, Envelope, Session

from shared.embedded.smtp_script import Answer, Drop, Moment, Phase, Reply, Script, taken

Keep = Callable[[str, tuple[str, ...], bytes], None]
"""Takes the sender, the recipients and the raw mail."""


class Connection(SMTP):
    """A connection that asks the script first and keeps the mails that count as arrived."""

    def __init__(self, number: int, script: Script, keep: Keep, loop: asyncio.AbstractEventLoop) -> None:
        self.number, self.script, self.keep = number, script, keep
        self.line: asyncio.Transport | None = None
        self.greeted = False
        super().__init__(self, enable_SMTPUTF8=True, hostname="catcher.localhost", loop=loop)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet, or do what the script says instead."""
        self.line = transport = cast("asyncio.Transport", transport)
        answer = self.script(Moment("connect", self.number))
        if answer is None:
            self.greeted = True
            super().connection_made(transport)
        elif isinstance(answer, Reply):
            transport.write(f"{answer}\r\n".encode())
            transport.close()
        elif isinstance(answer, Drop):
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Pass on what the client says, unless it was never greeted."""
        if self.greeted:
            super().data_received(data)

    def eof_received(self) -> bool | None:
        """Pass on that the client hung up, unless it was never greeted."""
        return bool(super().eof_received()) if self.greeted else False

    def connection_lost(self, error: Exception | None) -> None:
        """Tidy up, unless nothing was begun."""
        if self.greeted:
            super().connection_lost(error)

    async def handle_HELO(self, _: SMTP, session: Session, envelope: Envelope, hostname: str) -> str:  # noqa: N802 - the name aiosmtpd calls
        """Answer HELO."""
        session.host_name = hostname
        return await self._ask("helo") or "250 catcher.localhost"

    async def handle_EHLO(  # noqa: N802 - the name aiosmtpd calls
        self, _: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Answer EHLO with what the server can do."""
        session.host_name = hostname
        refused = await self._ask("helo")
        return [refused] if refused else responses

    async def handle_MAIL(  # noqa: N802 - the name aiosmtpd calls
        self, _: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Answer MAIL FROM."""
        answer = await self._ask("mail", address)
        if answer is None or answer.startswith("2"):
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return answer or "250 OK"

    async def handle_RCPT(  # noqa: N802 - the name aiosmtpd calls
        self, _: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Answer RCPT TO, each recipient by itself."""
        answer = await self._ask("rcpt", envelope.mail_from or "", (*envelope.rcpt_tos, address))
        if answer is None or answer.startswith("2"):
            envelope.rcpt_tos.append(address)
            envelope.rcpt_options.extend(options)
        return answer or "250 OK"

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802 - the name aiosmtpd calls
        """Answer DATA before the mail is read."""
        envelope: Any = self.envelope
        answer = await self._ask("data", envelope.mail_from or "", tuple(envelope.rcpt_tos))
        if answer is None:
            await super().smtp_DATA(arg)
        else:
            await self.push(answer)

    async def handle_DATA(self, _: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - the name aiosmtpd calls
        """Answer the final dot, and keep the mail if it counts as arrived."""
        sender, recipients = envelope.mail_from or "", tuple(envelope.rcpt_tos)
        raw = envelope.original_content or b""
        answer = self.script(Moment("end", self.number, sender, recipients, raw))
        if taken(answer):
            self.keep(sender, recipients, raw)
        return await self._carry_out(answer) or "250 OK"

    async def _ask(self, phase: Phase, sender: str = "", recipients: tuple[str, ...] = ()) -> str | None:
        return await self._carry_out(self.script(Moment(phase, self.number, sender, recipients)))

    async def _carry_out(self, answer: Answer | None) -> str | None:
        """Return the line to send, None for the usual one; a cut or hanging connection never comes back from here."""
        if answer is None:
            return None
        if isinstance(answer, Reply) and answer.code != 421:
            return str(answer)
        if isinstance(answer, Reply):
            await self.push(str(answer))
        if self.line and isinstance(answer, Reply):
            self.line.close()
        elif self.line and isinstance(answer, Drop):
            self.line.abort()
        await asyncio.Event().wait()  # the end of the connection cancels this
        return None
