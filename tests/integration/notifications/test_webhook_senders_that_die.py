"""Senders that are killed and receivers behind TLS: nothing is lost, and certificates are those of the name."""

import asyncio
import ssl
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from services.notifications.app import service
from services.notifications.domain.push import Outcome
from services.notifications.domain.webhook import AT_ONCE
from services.notifications.handlers.receiver import WayOut
from shared.kit import migrate
from shared.kit.database import Database
from tests.integration.notifications.webhook_house import Arrived, Pushing, Receiver, Said, published

ROOT = Path(__file__).parents[3]
MANY = 40


async def _sender(url: str) -> asyncio.subprocess.Process:
    module = "tests.integration.notifications.courier_process"
    return await asyncio.create_subprocess_exec(sys.executable, "-m", module, url, cwd=ROOT)


async def test_a_killed_sender_loses_nothing_and_repeats_only_what_was_under_way(database_url: str) -> None:
    """SIGKILL while answers are outstanding; the next process brings every message, the doubled ones by the same id."""
    database = Database(database_url)
    await migrate.upgrade(service, database)

    def answer(arrived: Arrived) -> Said | None:
        return Said(204, body="") if killed.is_set() or len(receiver.arrived) < MANY // 2 else None

    killed = asyncio.Event()
    async with Receiver(answer).open() as receiver:
        pushing = Pushing(database, receiver.url)
        made = await pushing.make()
        await pushing.hear(*(published(number) for number in range(MANY)))
        sender = await _sender(database_url)
        while len(receiver.arrived) < MANY // 2:
            receiver.came.clear()
            await asyncio.wait_for(receiver.came.wait(), 30)
        sender.kill()
        await sender.wait()
        unsure = len(await pushing.pushes(made.webhook.id, "sending"))
        killed.set()
        again = await _sender(database_url)
        for _ in range(600):
            if len(await pushing.pushes(made.webhook.id, "delivered")) == MANY:
                break
            await asyncio.sleep(0.05)
        again.kill()
        await again.wait()
        came = Counter(receiver.ids())
        assert set(came) == {one.message_id for one in await pushing.pushes(made.webhook.id, "delivered")}
        assert len(came) == MANY
        assert 1 <= sum(count - 1 for count in came.values()) <= unsure <= 2 * AT_ONCE
    await pushing.out.close()
    await database.close()


def _certificate(folder: Path, name: str) -> Path:
    """Make a key and a certificate for a name, signed by itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    file = folder / f"{name}.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


@pytest.mark.parametrize(("called", "outcome"), [("hooks.example", Outcome.delivered), ("other.example", Outcome.tls)])
async def test_the_certificate_must_be_that_of_the_name_although_the_address_was_looked_up_before(
    tmp_path: Path, called: str, outcome: Outcome
) -> None:
    """TLS asks for the name (SNI) and checks it, Host says it; the same server under another name is refused."""
    file = _certificate(tmp_path, "hooks.example")
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(file)
    asked: list[str | None] = []
    theirs.sni_callback = lambda socket, name, context: asked.append(name)

    async def home(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    trusting = ssl.create_default_context(cafile=str(file))
    out = WayOut(private=True, connections=2, resolve=home, tls=trusting)
    async with Receiver().open(ssl=theirs) as receiver:
        url = receiver.url.replace("http://127.0.0.1", f"https://{called}")
        reply = await out.post(url, {"webhook-id": "msg_1"}, b"{}", datetime.now(UTC))
        assert (reply.outcome, asked) == (outcome, [called])
        assert [one.headers["host"].partition(":")[0] for one in receiver.arrived] == (
            [called] if outcome is Outcome.delivered else []
        )
    await out.close()
