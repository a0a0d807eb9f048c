"""Runs notifications: `python -m services.notifications`."""

from services.notifications.app import service
from shared.kit.run import run

if __name__ == "__main__":
    run(service)
