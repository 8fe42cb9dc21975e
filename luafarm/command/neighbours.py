"""Supervisors that live side by side: what a new one is told of the others.

They share a machine's name and a range of uids; only their parent knows which of them
live. What uids each has taken it says itself, as it has chosen them.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A supervisor that lives."""

    incarnation: int
    uids: str = ""  # of its VM hosts, in its own words; empty: none, or not yet said


class Neighbours:
    """The supervisors of one parent that live, by child."""

    def __init__(self) -> None:
        self._living: dict[int, Neighbour] = {}

    def arguments(self) -> list[str]:
        """Return what the command line of another one says of these."""
        living = self._living.values()
        if not living:
            return []
        beside = ",".join([str(one.incarnation) for one in living])
        taken = ",".join([one.uids for one in living if one.uids])
        return ["--beside", beside, *(["--taken", taken] if taken else [])]

    def comes(self, child: int, neighbour: Neighbour) -> None:
        """Take note of one that lives."""
        self._living[child] = neighbour

    def takes(self, child: int, uids: str) -> None:
        """Take note of the uids that a child has chosen."""
        if child in self._living:
            self._living[child] = replace(self._living[child], uids=uids)

    def goes(self, child: int) -> bool:
        """Forget a child that has ended; return whether it was a supervisor."""
        return self._living.pop(child, None) is not None

    def of(self, child: int) -> Neighbour:
        """Return a supervisor; of another role one without a number."""
        return self._living.get(child, Neighbour(0))
