"""From a command to its commit: admission, stamping, applying, the ring, the journal, and the ways into them."""
