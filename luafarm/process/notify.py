"""What a service manager is told of this process: sd_notify(3), in its own few lines.

systemd names a datagram socket in the environment of a service, and how often it wants
to hear of it. Both are taken out of the environment: they are for this process, not for
those that it starts. Without them, as under `luafarm up`, nobody is told anything.

Nothing here ever waits: a manager that hangs must not hang its services. What it did
not take is sent again with what comes next.
"""

# Impure.

import os
import socket
import time
from collections.abc import MutableMapping
from typing import Final

_SOCKET: Final = "NOTIFY_SOCKET"
_WATCHDOG: Final = "WATCHDOG_USEC"
_WATCHED: Final = "WATCHDOG_PID"
_LONGEST: Final = 200  # characters of a status

_ABSTRACT: Final = "@"  # stands for the NUL byte that begins an abstract name


class Manager:
    """The manager of this service. Every call is one small datagram at most."""

    def __init__(self, address: str, watchdog_s: float = 0.0) -> None:
        """watchdog_s: how often it wants a sign of life at least; 0: it wants none."""
        self.watchdog_s = watchdog_s
        self._address = address
        # kept open: whoever has no descriptor left must go on giving signs of life
        self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sender.setblocking(False)
        self._untold: list[str] = []  # bounded: each state of a service once

    def environment(self) -> dict[str, str]:
        """Return what the next program of this process has to find to go on."""
        found = {_SOCKET: self._address.replace("\0", _ABSTRACT)}
        if self.watchdog_s:
            found[_WATCHDOG] = str(round(self.watchdog_s * 1e6))
            found[_WATCHED] = str(os.getpid())
        return found

    def close(self) -> None:
        """Tell nothing more."""
        self._sender.close()

    def ready(self, status: str) -> None:
        """Say that the service serves, or that it has been reloaded."""
        self._tell("READY=1", _status(status))

    def reloading(self) -> None:
        """Say that it is being reloaded; `ready` must follow."""
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={now_us}")

    def stopping(self) -> None:
        """Say that it has begun to end."""
        self._tell("STOPPING=1", _status("stopping"))

    def alive(self) -> None:
        """Give a sign of life."""
        self._tell("WATCHDOG=1")

    def _tell(self, *fields: str) -> None:
        message = "\n".join(fields)
        if message not in self._untold:
            self._untold.append(message)
        while self._untold and self._send(self._untold[0]):
            del self._untold[0]

    def _send(self, message: str) -> bool:
        try:
            self._sender.sendto(message.encode(), self._address)
        except BlockingIOError:
            return len(self._untold) > _MOST_UNTOLD  # then it is given up
        except OSError:
            return True  # there is no such manager any more
        return True


_MOST_UNTOLD: Final = 16


def take(environment: MutableMapping[str, str]) -> Manager | None:
    """Take the manager that an environment names out of it; None: there is none."""
    address = environment.pop(_SOCKET, "")
    usec = environment.pop(_WATCHDOG, "")
    watched = environment.pop(_WATCHED, "")
    if address.startswith(_ABSTRACT):
        address = "\0" + address.removeprefix(_ABSTRACT)
    elif not address.startswith("/"):
        return None  # vsock: is for whole machines
    is_ours = watched in {"", str(os.getpid())}
    watchdog_s = int(usec) / 1e6 if usec.isdecimal() and is_ours else 0.0
    return Manager(address, watchdog_s)


def _status(text: str) -> str:
    line = " ".join(text.split())
    return f"STATUS={line[:_LONGEST]}"
