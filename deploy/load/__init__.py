"""What a node stands: an hour with a kill every minute, and a neighbour that floods."""
