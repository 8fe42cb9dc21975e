"""The numbers of generations: each is above every one that was given before it.

`term << 40 | n`: the term counts brokers, n what this one has made. When a host tells
of a higher term, this broker counts on above it.
"""

# Compiled.

from luafarm.names import TERM_SHIFT, Epoch


class Epochs:
    """Counts generations."""

    def __init__(self, term: int) -> None:
        self.term = term
        self._number = 0

    def next(self) -> Epoch:
        """Return an epoch above every earlier one."""
        self._number += 1
        return Epoch(self.term << TERM_SHIFT | self._number)

    def seen(self, epoch: Epoch) -> None:
        """Count on above the epochs of an earlier broker."""
        if epoch >= self.term << TERM_SHIFT | (self._number + 1):
            self.term = (epoch >> TERM_SHIFT) + 1
            self._number = 0
