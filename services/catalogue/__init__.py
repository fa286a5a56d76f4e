"""Terms, spaces and metrics of losssearch, told by a process of their own: the API itself imports no torch."""
