"""The simulation: the real relay, readers, links and handlers in a world that follows from a seed.

A seed draws how many institutions there are, whether they share one Redis or have nodes of their own around a hub, what
people do there, and what goes wrong. Then the faults end, everything runs until nobody has anything left to do, and the
disks and servers are judged past the code under test. `album simulate --seeds 1 --seed N --trace` shows one world.

What it does not show: databases with several writers at once (every transaction is alone here, as on SQLite), and what
FastStream, redis-py and the drivers do themselves; tests on real servers show these.
"""
