"""md5 and base64 in C for peers on Lua 5.1, from Debian's packages, unpacked."""

import platform

from bench import script
from bench.packages import Packages

LIBRARIES = Packages("lua51", ("lua-md5", "lua-socket", "liblua5.1-0"))


def environment() -> dict[str, str]:
    """Where such a peer finds them, and the names its scripts know them by."""
    libraries = LIBRARIES.root / "usr" / "lib" / f"{platform.machine()}-linux-gnu"
    return {
        "LD_LIBRARY_PATH": str(libraries),
        "LUA_PATH": f"{script.SCRIPTS / 'lua51'}/?.lua;;",
        "LUA_CPATH": f"{libraries}/lua/5.1/?.so",
    }
