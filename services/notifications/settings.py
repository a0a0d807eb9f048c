"""The environment variables of notifications beside those of every service."""

from datetime import timedelta
from email.utils import parseaddr
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from services.notifications.handlers.smtp import Server
from shared.kit import settings


def _bare_address(text: str) -> str:
    """Give the address in `Name <address>` or in a bare one; refuse at start what no mail could be sent with."""
    address = parseaddr(text)[1]
    if "@" not in address or not address.isascii():
        raise ValueError("ALBUM_MAIL_FROM must be a mail address, such as album@example.org")
    return address


class Settings(settings.Settings):
    """Where mails leave the node, and how: `ALBUM_SMTP` is host:port, `ALBUM_MAIL_FROM` the address they come from.

    `ALBUM_WEBHOOK_PRIVATE` lets webhooks lead anywhere, without TLS as well: for tests and closed networks only.
    """

    smtp: str = "127.0.0.1:1025"
    smtp_user: str | None = None
    smtp_password: SecretStr | None = None
    smtp_tls: Literal["none", "starttls", "tls"] = "none"
    smtp_connections: int = Field(default=4, ge=1, le=50)
    smtp_patience: timedelta = timedelta(seconds=60)
    mail_from: Annotated[str, AfterValidator(_bare_address)] = "album@localhost"
    webhook_private: bool = False
    webhook_connections: int = Field(default=64, ge=1, le=1000)

    @property
    def mail_server(self) -> Server:
        """Give the mail server."""
        host, _, port = self.smtp.rpartition(":")
        return Server(
            host=host or self.smtp,
            port=int(port) if host else 25,
            tls=self.smtp_tls,
            user=self.smtp_user,
            password=self.smtp_password.get_secret_value() if self.smtp_password else None,
            patience=self.smtp_patience.total_seconds(),
        )
