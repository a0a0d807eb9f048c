"""The environment variables of members: those that every service understands, and where the network's hub is."""

from shared.kit import settings


class Settings(settings.Settings):
    """`hub_ca` is who signed the certificate of the hub at `hub`: a file, or PEM.

    `hub_dir` is the folder that `album hub init` made; only the office's node has it.
    """

    hub_ca: str = ""
    hub_dir: str = ""
