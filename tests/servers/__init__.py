"""Real web servers in front of one running farm."""
