"""Runs the service: `python -m services.members`."""

from services.members.app import service
from shared.kit.run import run

if __name__ == "__main__":
    run(service)
