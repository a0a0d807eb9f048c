"""Real servers for the demo, the tests and small nodes, on a machine where nothing is installed."""
