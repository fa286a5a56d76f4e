"""What data show before anything is trained: wrong labels, rare classes, heavy tails."""
