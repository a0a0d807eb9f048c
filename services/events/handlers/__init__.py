"""What events does: read, decide, keep, tell."""
