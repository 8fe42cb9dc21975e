"""What a front has in common with the other fronts of its machine.

Their parent hands it down: the front's number among them, and both ends of the queue
through which idle connections change hands. A front that was started without a parent
has none of it.
"""

# Impure.

import argparse
import errno
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_BUSY: Final = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ETOOMANYREFS})


@dataclass(frozen=True, slots=True)
class Family:
    """A front's place among the fronts of its machine."""

    number: int = 1  # from 1
    count: int = 1
    handover: tuple[int, int] | None = None  # ends to give to and to take from

    def title(self, title: str) -> str:
        """Return the process title of this front."""
        return title if self.count == 1 else f"{title} {self.number}"


def parse(argv: Sequence[str]) -> tuple[Family, list[str]]:
    """Return what the command line says of the family, and what is left of it."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--number", type=int, default=1)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--handover", type=_pair)
    given, rest = parser.parse_known_args(argv)
    return Family(given.number, given.count, given.handover), rest


def _pair(text: str) -> tuple[int, int]:
    give, _, take = text.partition(",")
    return int(give), int(take)


class Handover:
    """The queue of idle connections between the fronts of a machine."""

    def __init__(self, give: int, take: int) -> None:
        self._give = socket.socket(fileno=give)
        self._take = socket.socket(fileno=take)
        self._give.setblocking(False)
        self._take.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor that is readable when connections wait."""
        return self._take.fileno()

    def give(self, mark: bytes, connection: int) -> bool:
        """Put a connection's descriptor into the queue; False: not now, it is full.

        mark: the byte of its protocol. The caller closes its own descriptor; the
        connection lives on.
        """
        try:
            socket.send_fds(self._give, [mark], [connection])
        except OSError as error:
            if error.errno in _BUSY:
                return False
            raise
        return True

    def take(self) -> tuple[bytes, socket.socket] | None:
        """Take a mark and its connection out of the queue; None: there is none."""
        try:
            mark, fds, _, _ = socket.recv_fds(self._take, 1, 1)
        except (BlockingIOError, InterruptedError):
            return None
        if not fds:
            return None
        os.set_inheritable(fds[0], False)
        return mark, socket.socket(fileno=fds[0])

    def close(self) -> None:
        """Let go of both ends; what is in the queue stays for the others."""
        self._give.close()
        self._take.close()
