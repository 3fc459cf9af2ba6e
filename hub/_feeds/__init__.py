"""Feeds: what brings events into a hub from outside of it."""
