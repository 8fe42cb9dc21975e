"""luafarm and its peers behind the same web server, measured side by side."""
