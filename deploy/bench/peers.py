"""What people would use instead of the reader: NATS JetStream, pulled 500 at a time, with the same upsert."""

import asyncio
import shutil
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import nats
from nats.js.api import ConsumerConfig, StorageType, StreamConfig

from deploy.bench import floors, messages, path
from deploy.bench.ground import Ground
from deploy.bench.propagate import check_rows
from shared.contract.envelope import encode
from shared.embedded.ports import HOST, free_port, is_free
from shared.embedded.process import ServerProcess
from shared.kit.clock import monotonic

PULL = 500
WINDOW = 1000


@asynccontextmanager
async def _server(folder: Path) -> AsyncIterator[str]:
    found = shutil.which("nats-server") or str(Path(sysconfig.get_path("scripts")) / "nats-server")
    port = free_port()
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    command = [found, "-js", "-a", HOST, "-p", str(port), "-sd", str(folder)]
    process = ServerProcess(command, folder / "nats.log", lambda: not is_free(port))
    await asyncio.to_thread(process.start)
    try:
        yield f"nats://{HOST}:{port}"
    finally:
        await asyncio.to_thread(process.stop)
        shutil.rmtree(folder, ignore_errors=True)


async def peer_rate(ground: Ground, count: int, sessions: int) -> float:
    """Fill a JetStream on disk, then pull, validate, upsert, commit and acknowledge; give messages a second."""
    url = ground.database()
    table = await floors.bare_table(url)
    async with _server(ground.folder / "nats") as address:
        client = await nats.connect(address)
        stream = client.jetstream(timeout=30)
        await stream.add_stream(StreamConfig(name="bench", subjects=["runs"], storage=StorageType.FILE))
        await _fill(stream, count, sessions)
        pulled = await stream.pull_subscribe("runs", durable="courses", config=ConsumerConfig(max_ack_pending=2 * PULL))
        began, taken = monotonic(), 0
        while taken < count:
            page = await pulled.fetch(PULL, timeout=5)
            now = datetime.now(UTC)
            taken += len(page)
            await table.upsert([floors.row_of(each.data, now) for each in page], taken)
            for each in page:
                await each.ack()
        await client.flush()
        seconds = monotonic() - began
        await client.close()
    await table.close()
    await check_rows(url, count)
    return count / seconds


async def _fill(stream: nats.js.JetStreamContext, count: int, sessions: int) -> None:
    told = islice(messages.published(path.institutions(1), sessions=sessions), count)
    payloads = [encode(each, id=f"msg_{n:026}", time=messages.NOW) for n, each in enumerate(told)]
    for start in range(0, count, WINDOW):
        await asyncio.gather(*(stream.publish("runs", each) for each in payloads[start : start + WINDOW]))
