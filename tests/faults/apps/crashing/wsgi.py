"""Does not load."""

raise RuntimeError("out of order")
