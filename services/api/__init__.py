"""The HTTP API under ``/v1``: `create_app` in `services.api.app` makes it; one file per resource."""
