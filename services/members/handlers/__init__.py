"""What members does: read, decide, keep, tell."""
