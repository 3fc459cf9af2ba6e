"""What a cluster is made of: who is there, who leads which hub, and one hub on one node."""
