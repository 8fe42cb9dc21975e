"""FastCGI 1.0 as web servers speak it: listeners, connections, records."""
