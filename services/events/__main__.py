"""Runs the service: `python -m services.events`."""

from services.events.app import service
from shared.kit.run import run

if __name__ == "__main__":
    run(service)
