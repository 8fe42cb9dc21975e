"""FastCGI 1.0, requirement by requirement, against the running front."""
