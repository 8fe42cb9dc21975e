"""What is compared: one module a server, each with the same small interface."""
