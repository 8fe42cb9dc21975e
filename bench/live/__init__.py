"""Measurements of a live farm behind nginx while it changes: deploys, little room."""
