"""One file per version, the oldest first; each is left as it is once it was released."""
