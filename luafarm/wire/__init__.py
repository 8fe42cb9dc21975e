"""What processes say to each other, and the bytes that carry it."""
