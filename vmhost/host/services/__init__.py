"""What scripts may ask a VM host for: a module a service, and the table of all."""
