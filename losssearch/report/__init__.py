"""Showing a study: leaderboard rows, figures and a self-contained HTML report."""
