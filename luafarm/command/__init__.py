"""The `luafarm` command: what a person types."""
