"""Widely used libraries: they load, and their own tests pass, here as in plain Lua.

`python -m tests.libraries` fetches them, runs their tests in plain interpreters and in
sandboxed states, and prints the table that stands in docs/lua-api.md.
"""
