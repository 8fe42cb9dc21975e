"""The same faults to each server, and what became of every request."""
