"""A VM host: one process that holds Lua states and runs one script at a time."""
