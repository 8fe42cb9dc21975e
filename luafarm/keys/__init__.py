"""Keys, whose they are, and what their owners may say."""
