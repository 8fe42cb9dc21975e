"""How a connection to a client ends, whatever its protocol: states and times."""

# Compiled.

from typing import Final

OPEN: Final = 0
LINGER: Final = 1  # shut down the sending half and read on; CLOSE follows
CLOSE: Final = 2  # send what is left and close

HALF_CLOSE_S: Final = 1.0
"""For what is answered to a client that shut down only its sending half: on TCP nothing
tells it from one that went away, whose requests must not run on."""

LINGER_S: Final = 2.0
"""Read on before closing, so that no RST eats an answer."""

SPARE_S: Final = 1.0
"""Idle for so long, a connection may close for a new one where there are too many. A
fresh one's first request comes within this."""
