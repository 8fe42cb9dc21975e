"""How soon a TCP connection is known to lead nowhere: within about 5 s.

The kernel at the other end answers, also for a process that hangs: so what is found
this way is a cut network or a machine that is gone, and nothing else.
"""

# Impure.

import socket
from typing import Final

IDLE_S: Final = 1
EVERY_S: Final = 1
MOST_UNANSWERED: Final = 4
UNTAKEN_MS: Final = 5000  # for what was sent and nobody has acknowledged


def keep(sock: socket.socket) -> None:
    """Have the kernel test a connection, also one that is not made yet."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, IDLE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, EVERY_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, MOST_UNANSWERED)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNTAKEN_MS)
