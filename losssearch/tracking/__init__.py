"""Where people watch a study: the `Tracker` protocol, MLflow behind it, and the MLflow UI on a study."""
