"""What a study tries next: the menu of known losses, proposals by history, and the screening before any training."""
