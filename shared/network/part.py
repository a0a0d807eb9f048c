"""What members runs for the network between nodes: the link, the office's own hours, their tables and routes."""

from pathlib import Path

from shared.kit.node import Part
from shared.network.link import linking, witness
from shared.network.office import admitting
from shared.network.office import turn as office_turn
from shared.network.tables import metadata

NETWORK = Part(
    metadata,
    Path(__file__).with_name("migrations"),
    routers=(witness.router, admitting.router),
    turns=(linking.turn, office_turn.turn),
)
