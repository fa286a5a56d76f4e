"""What is written once at the end of a study: its record in the store, the files, and the tracker's copy."""
