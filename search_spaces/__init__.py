"""The search spaces that come with losssearch: one YAML file each, opening with the question that it answers."""
