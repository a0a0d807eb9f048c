"""Pages that are bounded by bytes: five hundred messages may be half a megabyte or thirty."""

from collections.abc import Sequence
from typing import Any, Protocol

import sqlalchemy as sa

from shared.contract.envelope import MAX_BYTES
from shared.kit.tables import outbox

PAGE_BYTES = 1536 * 1024
"""As much as a thousand usual messages: as long as these take, so long a page of large ones may hold the database."""


class HasPayload(Protocol):
    """An entry of any kind."""

    @property
    def payload(self) -> bytes:
        """Give the exact bytes of the message."""
        ...


class PageSize:
    """How many entries to ask for where nobody knows their size before they are there.

    It begins with as many as fit whatever their size, and asks for twice what came as long as such a page would fit.
    So the only page that can be much too large is the first one behind full ones that were small.
    """

    def __init__(self, most: int, most_bytes: int = PAGE_BYTES) -> None:
        self._most = most
        self.most_bytes = most_bytes
        self._sure = max(1, most_bytes // MAX_BYTES)
        self.count = min(most, self._sure)

    def saw(self, page: Sequence[HasPayload]) -> None:
        """Learn from a page that came."""
        if not page:
            return
        size = sum(len(entry.payload) for entry in page)
        fits = self.most_bytes * len(page) // max(1, size)
        self.count = max(1, min(self._most, fits, max(self._sure, 2 * len(page))))


def within_a_page(rows: sa.Select[Any], count: int) -> sa.Select[Any]:
    """Bound rows of the outbox: as many as wanted, but no more than fit if each were as large as the largest of them.

    The database finds the largest without reading what it holds; a sum up to each row costs five times as much.
    """
    size = sa.func.length(outbox.c.payload, type_=sa.Integer).label("size")
    largest = sa.func.max(rows.with_only_columns(size).limit(count).subquery().c.size)
    too_large = largest > PAGE_BYTES // count
    return rows.limit(sa.select(sa.case((too_large, PAGE_BYTES // largest), else_=count)).scalar_subquery())
