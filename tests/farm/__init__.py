"""The farm as a whole: real processes, deaths, deploys, odd scripts."""
