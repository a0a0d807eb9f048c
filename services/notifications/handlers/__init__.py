"""What notifications does: each handler reads, decides, keeps and tells."""
