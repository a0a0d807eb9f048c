"""How fast the backbone is, beside what people would use instead: `album bench propagate|latency|join|seats|growth`."""
