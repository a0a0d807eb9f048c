"""The main job, run for real: a change reaches everybody, seats are given, each person gets the mail once."""
