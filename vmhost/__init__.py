"""VM hosts: sandboxed processes that run Lua, and the supervisor that owns them."""
