"""From the trials of a search to a recommendation: re-evaluation, confirmation, test, and what may be claimed."""
