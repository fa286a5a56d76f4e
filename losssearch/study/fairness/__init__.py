"""Studies under constraints: decisions that satisfy them, what is certified, and references by other methods."""
