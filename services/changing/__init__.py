"""What people change: the API and the pages call the same functions, which check quotas and enter the audit log.

Each takes the connection of a transaction and who asks. What belongs to another team raises `MissingError`.
"""
