"""What members runs for the network between nodes: the link, the office's own hours, their tables and routes."""

from pathlib import Path

from shared.kit.node import Part
from shared.network import admitting, linking, office_turn, witness
from shared.network.tables import metadata

NETWORK = Part(
    metadata,
    Path(__file__).with_name("migrations"),
    routers=(witness.router, admitting.router),
    turns=(linking.turn, office_turn.turn),
)
