"""The pages that people see: HTML made here, usable without JavaScript; HTMX keeps what changes up to date.

They read and change through the same functions as the API. `services.pages.site.mount` adds them to its application.
"""
