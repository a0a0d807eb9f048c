"""Starts the service: `python -m services.courses`."""

from services.courses.app import service
from shared.kit.run import run

if __name__ == "__main__":
    run(service)
