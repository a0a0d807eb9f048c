"""Real processes under real faults: a hub and three nodes, killed, cut off, wiped and restored while they work."""
