"""The environment variables of members: those that every service understands."""

from shared.kit.settings import Settings

__all__ = ["Settings"]
