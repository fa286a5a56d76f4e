"""The service: searches as jobs, for a team. Comes with the repository and its image, not with the wheel."""
