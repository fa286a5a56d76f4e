"""Quality: does the searched loss beat what a good practitioner would have used, on rows that nobody has seen?"""
