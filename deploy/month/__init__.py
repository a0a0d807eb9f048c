"""A month without a line: real nodes, cut off for thirty days of virtual time, are equal again when it is back."""
