"""The environment variables of members: those that every service understands, and where the network's hub is."""

from pathlib import Path

from shared.kit import settings


class Settings(settings.Settings):
    """`hub` is the hub's address (none: this node is alone), `hub_ca` who signed its certificate: a file, or PEM.

    `hub_dir` is the folder that `album hub init` made; only the office's node has it.
    """

    hub: str = ""
    hub_ca: str = ""
    hub_dir: str = ""
    identities: Path = Path("var/network")
