"""Whether two checkouts give the same results to the last digit, on small studies of every kind."""
