"""What a dead VM host has sent, heard to its end in shares."""

# Impure, compiled.

import asyncio
import time
from collections.abc import Callable

from fcgi import share


def drain(
    loop: asyncio.AbstractEventLoop,
    hear: Callable[[], bool],
    until: float,
    on_end: Callable[[], None],
) -> None:
    """Call `hear` until it says that there is nothing more; then call `on_end`.

    until: seconds of the monotonic clock; then the rest is dropped: a host that still
    sends is not dead.
    """
    share_ends = time.monotonic() + share.SECONDS
    while hear():
        now = time.monotonic()
        if now >= until:
            break
        if now >= share_ends:
            loop.call_soon(drain, loop, hear, until, on_end)
            return
    on_end()
