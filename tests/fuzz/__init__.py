"""Fuzz harnesses."""
