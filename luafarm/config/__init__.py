"""Settings: what there is, what may be combined, and where values come from."""
