"""What stands in the log where a content was blanked: its hash binds what was said, and cannot be made from it."""

from shared.contract.catalogue import find
from shared.contract.envelope import MessageRefused, open_envelope
from shared.kit.streams import Entry


def is_blank(entry: Entry) -> bool:
    """Tell whether an entry may hold another content than its hash was made of."""
    try:
        kind = find(open_envelope(entry.payload).type)
    except MessageRefused:
        return False
    return kind is not None and kind.blanks
