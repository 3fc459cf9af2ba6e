"""Faults of hubs and of servers, in turn, while producers post: `make chaos`."""
