"""`python -m deploy.simulation`, the same as `album simulate`."""

from deploy.simulation.command import app

if __name__ == "__main__":
    app()
