"""The trusted Lua sources: prelude, handler adapters and built-in modules."""
