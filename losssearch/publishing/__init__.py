"""What is written at the end of a study, once: its record in the store, files made of that, and the tracker's copy."""
