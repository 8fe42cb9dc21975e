"""An attempt at a Lua state, before VM hosts have to make theirs."""

# Impure.

from luafarm.dialects import Dialect
from vmhost.host.services.table import OPERATIONS
from vmhost.lua.limits import StateLimits
from vmhost.lua.state import LuaState


def attempt(dialect: str) -> None:
    """Make an empty state, as VM hosts do, and close it. Raise what is in the way."""
    # trusted: of every dialect
    LuaState(Dialect(dialect), StateLimits(), OPERATIONS, trusted=True).close()
