"""Code that is not ours is called through here: guarded, bounded in time, and with a text for what it raises."""
