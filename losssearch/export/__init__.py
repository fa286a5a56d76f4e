"""Handing a loss over: standalone source, spec and weights, and reading them back safely."""
