"""The service members: who is in the network, what institutions do together, and which keys open the node."""
