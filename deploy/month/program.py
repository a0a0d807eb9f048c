"""A node of the month as a program: it is told what to do in lines of JSON, and answers in such."""

import asyncio
import json
import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from deploy.month.hands import COMMANDS
from deploy.month.node import MonthNode
from deploy.month.place import Place
from shared.embedded.redis import RedisServer

LINE = 1024 * 1024


async def main(path: Path) -> None:
    """Run a node until nobody tells it anything any more."""
    place = Place.read(path)
    with RedisServer(Path(place.folder) / "redis") as server:
        node = MonthNode(replace(place, redis=server.url))
        await node.begin()
        _say(None)
        lines = await _lines()
        while line := await lines.readline():
            what, *arguments = json.loads(line)
            if what not in COMMANDS:
                raise SystemExit(f"a node does not know how to '{what}'")
            _say(await getattr(node, what)(*arguments))
        await node.end()


async def _lines() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def _say(answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    asyncio.run(main(Path(sys.argv[1])))
