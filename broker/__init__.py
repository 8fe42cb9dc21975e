"""The broker: decides which VM host holds a state of which script."""
