"""What peers say to each other first, on every socket."""

from enum import IntEnum
from typing import Final

from luafarm.names import Machine
from luafarm.wire.messages.packed import Packed

PROTOCOL: Final = 6


class Role(IntEnum):
    """What a peer is."""

    FRONT = 1
    BROKER = 2
    HOST = 3
    SUPERVISOR = 4
    COMMAND = 5


class Hello(Packed, frozen=True, tag=1):
    """The first message of whoever connects."""

    protocol: int
    role: Role
    name: str
    machine: Machine
    incarnation: int = 0  # a random number: who it is, over several connections
    #: of a supervisor: the incarnations beside which its parent has started it
    beside: tuple[int, ...] = ()
    version: str = ""  # of its luafarm, for `luafarm status`; empty: it does not say


class AnyHello(Packed, frozen=True, forbid_unknown_fields=False, tag=1):
    """The Hello of any version: what they all begin with."""

    protocol: int
    role: Role
    name: str
    machine: Machine


class Welcome(Packed, frozen=True, tag=2):
    """The answer to `Hello`: go on. From the broker `term` counts its incarnations."""

    protocol: int
    role: Role
    name: str
    term: int


class Refused(Packed, frozen=True, tag=36):
    """The other answer to `Hello`: no; what else the peer says is dropped.

    A supervisor gets it also later, when another process speaks for its machine.
    """

    reason: str
