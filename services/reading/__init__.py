"""What people see of the service's objects: the API and the pages read through the same functions.

Every function takes the connection of a transaction that may only read, and who asks; it returns plain JSON. What
belongs to another team raises `MissingError`, as does what is not there.
"""
