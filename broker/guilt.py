"""How much of a VM host's death the script answers for that it ran.

Two things are weighed. *Could the script have done it?* A crash, a forbidden system
call, an abort or a budget that nothing but a kill could enforce is its own doing. A
signal from outside may have been an operator's, or the kernel's when memory ran out,
whoever used it up; a host that others accused may have been taken over, or only cut
off. Those count for a quarter.

*How often did it run well?* Runs that ended well earn it credit, which excuses deaths:
what kills one host in a thousand runs costs fewer requests than its refusal would. A
script that kills whenever it runs earns none, and nothing excuses it. It is bounded: a
past of any length excuses few deaths, and a change of the file ends it. A death by a
budget costs less of it: which request takes that long is the visitors' choice, and
restraint bounds what they can do (`broker.restraint`).
"""

# Compiled.

from typing import Final

from luafarm.ends import Death

MOST_CREDIT: Final = 1000.0
"""Runs that can be held in favour of a script: as much as one crash costs."""

DOUBT: Final = 0.25
"""What a death counts that the script may not have caused."""

_RUNS: Final = 1000.0  # that excuse a death of its own doing
_RUNS_BUDGET: Final = 100.0  # by a budget that no soft stop could enforce
_RUNS_DOUBT: Final = 10.0  # that it may not have caused: those hit who runs most,
_SHARE_DOUBT: Final = 0.25  # and if they follow each other, 15 use up all credit

_BLAMELESS: Final = frozenset({Death.STOPPED, Death.SILENT})
_DOUBTFUL: Final = frozenset({Death.KILLED, Death.PROTOCOL})


def is_blameless(reason: Death) -> bool:
    """Say whether a host that ends so was ended by no script."""
    return reason in _BLAMELESS


def is_doubtful(reason: Death) -> bool:
    """Say whether somebody else than the script may have ended the host."""
    return reason in _DOUBTFUL


def earn(credit: float, runs: int) -> float:
    """Return the credit in a script after further runs that ended well."""
    return min(credit + runs, MOST_CREDIT)


def weigh(reason: Death, credit: float) -> tuple[float, float]:
    """Return what a death counts, 1 being a whole one, and the credit that is left."""
    if reason in _BLAMELESS:
        return 0.0, credit
    weight, runs = 1.0, _RUNS
    if reason in _DOUBTFUL:
        weight, runs = DOUBT, max(_RUNS_DOUBT, _SHARE_DOUBT * credit)
    elif reason.budget:
        runs = _RUNS_BUDGET
    if credit >= runs:
        return 0.0, credit - runs
    return weight, credit
