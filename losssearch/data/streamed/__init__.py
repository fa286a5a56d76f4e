"""Tables that do not fit memory: encoded once into a file on disk, and read in shuffled windows."""
