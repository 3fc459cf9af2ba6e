"""What a start needs: the journal, snapshots of the state, positions of listeners, and their upkeep."""
