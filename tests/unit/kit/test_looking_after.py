"""When a reader is sent to catch up: where somebody else moved its cursor, and not where it moves itself."""

import pytest

from shared.kit.streams import Position
from shared.kit.subscriptions import _was_moved

HERE, ON, FAR = Position(1, 5), Position(1, 9), Position(1, 40)


@pytest.mark.parametrize(
    ("stood", "stored", "stands", "moved"),
    [
        (HERE, HERE, HERE, False),  # it rests
        (HERE, FAR, HERE, True),  # another copy, or a rebuild, moved it while this reader rests
        (HERE, None, HERE, True),  # a rebuild took it away
        (HERE, ON, FAR, False),  # it moved on while the database was asked
        (HERE, HERE, ON, False),  # likewise, behind the question
        (None, HERE, None, True),  # it has yet to learn where it is
    ],
)
def test_only_a_cursor_that_others_moved_is_followed(
    stood: Position | None, stored: Position | None, stands: Position | None, moved: bool
) -> None:
    """Without the look before the question, a reader under load was sent after itself and read all of it twice."""
    assert _was_moved(stood, stored, stands) is moved
