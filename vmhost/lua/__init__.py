"""Lua: the states, the trusted prelude, and the operations between them and a host."""
