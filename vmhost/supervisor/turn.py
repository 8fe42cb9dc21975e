"""Which of its parent's supervisors this one is.

A parent replaces its supervisor by starting another beside it; when that one serves,
the old one leaves. They share a machine's name, a run directory and a range of uids, so
each is told who the others are. One that was started by hand is the first and only one.
"""

# Impure.

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field

from luafarm import incarnations
from vmhost.supervisor import uids


@dataclass(frozen=True, slots=True)
class Turn:
    """A supervisor's place among those that its parent has started."""

    incarnation: int = field(default_factory=incarnations.fresh)
    beside: tuple[int, ...] = ()  # incarnations of those that live
    taken: tuple[range, ...] = ()  # uids of their VM hosts


def parse(argv: Sequence[str]) -> tuple[Turn, list[str]]:
    """Return what the command line says of the turn, and what is left of it."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--incarnation", type=int)
    parser.add_argument("--beside", type=_numbers, default=())
    parser.add_argument("--taken", type=uids.parse, default=())
    given, rest = parser.parse_known_args(argv)
    incarnation = given.incarnation
    if incarnation is None:
        incarnation = incarnations.fresh()
    return Turn(incarnation, given.beside, given.taken), rest


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))
