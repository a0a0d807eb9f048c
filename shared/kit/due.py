"""What is due again and again: each thing in a unit of work of its own."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from shared.kit.errors import Conflict, NotFound
from shared.kit.work import Work, Works

S = TypeVar("S")
T = TypeVar("T")
PAGE = 100


async def each(works: Works[S], due: Iterable[T], do: Callable[[T, Work[S]], Awaitable[Any]]) -> None:
    """Do each; another copy of the service may have been quicker with one."""
    for one in due:
        try:
            async with works() as work:
                await do(one, work)
        except (Conflict, NotFound):
            continue
