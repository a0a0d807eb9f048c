"""A network of nodes on one machine: a hub, the office's node, partners' nodes, and lines between them to cut."""
