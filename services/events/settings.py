"""The environment variables of events: those that every service understands."""

from shared.kit.settings import Settings

__all__ = ["Settings"]
