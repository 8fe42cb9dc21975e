"""`python -m luafarm`: the command line."""

from luafarm.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
