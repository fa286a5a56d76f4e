"""The persistent record of a study: records, the `Store` protocol and its SQL adapter (SQLite, PostgreSQL)."""
