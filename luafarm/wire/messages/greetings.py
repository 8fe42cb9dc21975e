"""What peers say to each other first, on every socket."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from luafarm.names import Machine

PROTOCOL: Final = 2


class Role(IntEnum):
    """What a peer is."""

    FRONT = 1
    BROKER = 2
    HOST = 3
    SUPERVISOR = 4
    COMMAND = 5


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message of whoever connects.

    Every version understands that of every other as far as `machine`.
    """

    protocol: int
    role: Role
    name: str
    machine: Machine
    incarnation: int = 0  # of a supervisor: a random number that its process chose


@dataclass(frozen=True, slots=True)
class Welcome:
    """The answer to `Hello`: go on. From the broker `term` counts its incarnations."""

    protocol: int
    role: Role
    name: str
    term: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The other answer to `Hello`: not as this; nothing further will be heard.

    A supervisor gets it also later, when another process speaks for its machine.
    """

    reason: str
