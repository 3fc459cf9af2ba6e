"""Forwarding: commands that are given to a hub that follows, and carried out by the hub that leads."""
