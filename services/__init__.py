"""The four services of the network; none of them imports another."""
