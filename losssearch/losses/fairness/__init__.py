"""Terms and statistics over sensitive groups."""
