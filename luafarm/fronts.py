"""The fronts of one machine: how many, what they share, and how each is started.

They share the listening sockets, from which each takes connections when it has a
moment, and a queue in the kernel into which a front that retires puts its idle
connections for the others to take. Neither belongs to a front: what waits there
outlives each of them.
"""

# Impure.

import os
import socket
from collections.abc import Sequence
from typing import Final

from luafarm.config.options import toml_list
from luafarm.config.settings import Front
from luafarm.process import children
from luafarm.process.sockets import Kept, Listening

MODULE: Final = "fcgi"

_MOST: Final = 4
_CORES_EACH: Final = 4


def default_count(cores: int) -> int:
    """Return how many fronts a machine runs unless it is told.

    One takes about as much CPU as the VM hosts that it keeps busy with short scripts,
    and fills one core when about three others run web server and VM hosts. So one is
    enough below eight cores, where a second would only cut the batches in which
    requests travel (on two cores, two fronts cost about twice the CPU of one); then one
    for each four. A fifth would wait for the web server.
    """
    return max(1, min(cores // _CORES_EACH, _MOST))


def count(front: Front) -> int:
    """Return how many fronts these settings want on this machine."""
    return front.processes or default_count(os.cpu_count() or 1)


def names(front: Front) -> tuple[str, ...]:
    """Return what the fronts are called as roles, in the order of their numbers."""
    number = count(front)
    if number == 1:
        return (MODULE,)
    return tuple([f"{MODULE}-{n}" for n in range(1, number + 1)])


class Fronts:
    """The listening sockets and the handover of one machine's fronts."""

    def __init__(
        self,
        front: Front,
        kept: Sequence[Kept] = (),
        handover: tuple[int, int] | None = None,
    ) -> None:
        """kept, handover: from the program that this process executed before."""
        self.names = names(front)
        self._listening = Listening(front, kept)
        if handover is None:
            ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        else:
            give, take = [socket.socket(fileno=fd) for fd in handover]
            ends = (give, take)
        self._handover = ends

    def kept(self) -> tuple[tuple[Kept, ...], tuple[int, int]]:
        """Return what the next program of this process is to go on with."""
        give, take = self._handover
        return self._listening.kept(), (give.fileno(), take.fileno())

    def start(self, name: str, arguments: Sequence[str]) -> children.Watched:
        """Start a front; `arguments` are for its settings.

        By its pulse it says when it takes connections.
        """
        listening = self._listening
        listen = [f"fd:{sock.fileno()}" for sock in listening.fastcgi]
        http = f"fd:{listening.http.fileno()}" if listening.http is not None else ""
        give, take = [sock.fileno() for sock in self._handover]
        sockets = [*listening.fastcgi, *filter(None, [listening.http])]
        return children.start_watched(
            MODULE,
            [
                *arguments,
                *("--set", f"front.listen={toml_list(listen)}"),
                *("--set", f"front.http={http}"),
                *("--number", str(self.names.index(name) + 1)),
                *("--count", str(len(self.names))),
                *("--handover", f"{give},{take}"),
            ],
            sockets=[*[sock.fileno() for sock in sockets], give, take],
        )

    def close(self) -> None:
        """Take no more connections; fronts that run go on with theirs."""
        self._listening.close()
        for sock in self._handover:
            sock.close()
