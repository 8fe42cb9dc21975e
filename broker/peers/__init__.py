"""Who speaks to the broker, and how: fronts, supervisors, commands, VM hosts."""
