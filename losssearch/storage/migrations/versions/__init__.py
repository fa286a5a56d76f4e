"""What each version changed, one per file."""
