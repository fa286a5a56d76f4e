"""The command line: one module per command, and `app`, which combines them."""
