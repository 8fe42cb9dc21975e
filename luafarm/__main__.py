"""`python -m luafarm`: the command line."""

# Impure.

from luafarm.command.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
