"""Scripts that compute, with other libraries, the numbers that tests compare losses and metrics with."""
