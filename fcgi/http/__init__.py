"""The embedded HTTP listener, for development and small sites."""
