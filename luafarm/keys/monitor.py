"""What libzmq tells of a socket's connections (zmq_socket_monitor(3)).

pyzmq's own function for it imports asyncio, which makes the start of a process a tenth
longer.
"""

# Impure.

import struct
from typing import Final

import zmq

_EVENT: Final = struct.Struct("=Hi")


def take(monitor: "zmq.Socket[bytes]") -> tuple[int, int]:
    """Return the next event, and its value: what that is depends on the event.

    To be called when there is one.
    """
    frames = monitor.recv_multipart(zmq.DONTWAIT)
    event, value = _EVENT.unpack(frames[0])
    return event, value
