"""Losses that are learned from data."""
