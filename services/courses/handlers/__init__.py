"""What the service does: read, decide, keep, tell."""
