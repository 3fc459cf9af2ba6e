"""Harnesses that harm logs on purpose: kills, failing system calls, the loss of power, and damage; `make torture`."""
