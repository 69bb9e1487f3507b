"""Rules that enqueue jobs over time. Any number of beats may run: a unique key makes each slot fire once."""
