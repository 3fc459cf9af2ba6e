"""Actors: one life of an actor, its supervision, and the questions that agents ask each other."""
