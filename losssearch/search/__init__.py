"""A study: menu, proposals, screening, selection, verdict."""
