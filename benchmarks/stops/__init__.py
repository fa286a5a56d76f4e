"""Stops: does a study that was interrupted, killed and frozen at random end as if nothing had happened?"""
