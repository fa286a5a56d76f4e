"""Formulas as trees: how they are written and read, what their operators compute, and many of them at once."""
