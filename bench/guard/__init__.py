"""Instruction counts and CPU time of the main paths, held against kept figures."""
