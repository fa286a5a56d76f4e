"""What a study leaves behind: records, the `Store` protocol and its SQL adapter (SQLite, PostgreSQL)."""
