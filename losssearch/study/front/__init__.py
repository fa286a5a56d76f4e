"""Studies of a trade-off between a metric and a gap between groups."""
