"""What a process has of its machine: descriptors, rights, logs, directories."""
