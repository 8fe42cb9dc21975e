"""What a request and a reply mean: parameters, script names, headers, refusals."""
