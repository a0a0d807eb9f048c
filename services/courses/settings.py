"""The environment variables of the service: those that every service understands."""

from shared.kit.settings import Settings

__all__ = ["Settings"]
