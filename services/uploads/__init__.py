"""Uploads: received within limits, converted to Parquet in a process of their own, previewed."""
