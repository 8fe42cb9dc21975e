"""Scripts that nobody should run, run: what they get, and what it costs others."""
