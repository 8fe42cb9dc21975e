"""Confinement: what takes every right away from a VM host process."""
