"""An operator's hand: mails and webhooks."""

import typer

from services.notifications.commands import mail, webhooks

app = typer.Typer()
app.add_typer(mail.app, name="mail")
app.add_typer(webhooks.app, name="webhooks")
