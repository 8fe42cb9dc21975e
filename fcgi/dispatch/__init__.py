"""Which request goes to which VM host, and when."""
