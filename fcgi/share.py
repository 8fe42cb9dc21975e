"""A connection's share of a pass of the front's loop, whatever it sends.

Who sends without end costs the others this much in each pass, and no more: bytes,
frames or time, whichever is used up first. The rest waits, in the kernel where that can
be.
"""

# Compiled.

from typing import Final

FRAMES: Final = 64
BYTES: Final = 128 << 10
SECONDS: Final = 0.001
UNTIMED: Final = 8  # frames between two looks at the clock
