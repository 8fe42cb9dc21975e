"""Simulations of the broker's and the front's machines, driven by synthetic traces."""
