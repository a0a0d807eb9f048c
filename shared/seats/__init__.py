"""Seats, queue and timed offers by one rule, for runs and for meetings: `rule` decides, `desk` does it on a store."""
