"""The generations that a VM host holds, and with which of them a run starts.

A new generation of a script stands beside the old one until the broker says by a fence
or a drop that it is in force: what it was made of may have changed meanwhile, and other
hosts may still serve the old one. Until then a run starts with the old one unless its
front wants the new one, so no front gets an old reply after a new one.
"""

# Compiled.

from typing import Final

from luafarm.ends import Budget
from luafarm.wire.messages import Load
from vmhost.host.held import Held

MAX_FENCES: Final = 8192


class Generations:
    """What is in service. Whatever is returned to be closed is so no more."""

    def __init__(self, max_scripts: int) -> None:
        self._max_scripts = max_scripts
        self._newest: dict[bytes, Held] = {}  # by script
        self._olds: dict[bytes, Held] = {}  # before it, until that one is in force
        self._fences: dict[bytes, int] = {}  # by script: least epoch that may start

    def all(self) -> list[Held]:
        """Return what is in service."""
        return [*self._newest.values(), *self._olds.values()]

    def find(self, script: bytes, least: int) -> Held | None:
        """Return what a run starts with; None: nothing that its front may have.

        least: the epoch that its front knows of.
        """
        held = self._newest.get(script)
        if held is not None and self._olds:
            held = self._of_front(held, least)
        if held is None or held.is_fenced or held.epoch < least:
            return None
        return held

    def _of_front(self, newest: Held, least: int) -> Held:
        old = self._olds.get(newest.script)
        if old is None:
            return newest
        if least >= newest.epoch:
            newest.is_wanted = True
        return old if least <= old.epoch else newest

    def known(self, load: Load) -> Held | None:
        """Return the generation that is to be loaded, if it is there already."""
        held = self._newest.get(load.script)
        return held if held is not None and held.epoch == load.epoch else None

    def objection(self, load: Load) -> tuple[str, Budget]:
        """Return why a generation is not loaded, and the budget that is used up."""
        newest = self._newest.get(load.script)
        if newest is not None and newest.epoch > load.epoch:
            return "a newer generation is loaded here", Budget.NONE
        if load.epoch < self._fences.get(load.script, 0):
            return "newer generations only since the last fence", Budget.NONE
        if newest is None and len(self._newest) >= self._max_scripts:
            most = self._max_scripts
            return f"the VM host holds {most} states, as many as it may", Budget.STATES
        return "", Budget.NONE

    def add(self, held: Held) -> Held | None:
        """Take a new generation into service; return one to be closed for it."""
        script, least = held.script, self._fences.get(held.script, 0)
        held.is_fenced = held.epoch < least
        replaced = self._newest.get(script)
        self._newest[script] = held
        if replaced is None or script in self._olds:
            return replaced  # the one before it was never in force
        if replaced.epoch < least:
            return replaced
        self._olds[script] = replaced
        return None

    def remove(self, held: Held) -> Held | None:
        """Take one out of service; return the old one beside it, to be closed too."""
        script = held.script
        if self._newest.get(script) is held:
            del self._newest[script]
            return self._olds.pop(script, None)
        if self._olds.get(script) is held:
            del self._olds[script]
        return None

    def drop(self, script: bytes, epoch: int) -> list[Held]:
        """Return what is to be closed because it is no newer than this."""
        out: list[Held] = []
        for generations in (self._newest, self._olds):
            held = generations.get(script)
            if held is not None and held.epoch <= epoch:
                del generations[script]
                out.append(held)
        return out

    def fence(self, script: bytes, epoch: int) -> Held | None:
        """Let nothing older start from now on; return what is to be closed for it."""
        least = max(epoch, self._fences.pop(script, 0))
        self._fences[script] = least
        if len(self._fences) > MAX_FENCES:
            del self._fences[next(iter(self._fences))]
        held = self._newest.get(script)
        if held is not None and held.epoch < least:
            held.is_fenced = True
        old = self._olds.get(script)
        if old is not None and old.epoch < least:
            return self._olds.pop(script)
        return None

    def clear(self) -> list[Held]:
        """Return everything, to be closed."""
        out = self.all()
        self._newest.clear()
        self._olds.clear()
        return out

    def choose(self) -> tuple[list[Held], list[Held]]:
        """Settle for one of each script; return these, and what is to be closed.

        A broker that asks for it knows of no other. The newest counts if a front knew
        of it, for then it was in force.
        """
        out: list[Held] = []
        for script, old in self._olds.items():
            newest = self._newest[script]
            if newest.is_wanted:
                out.append(old)
            else:
                self._newest[script] = old
                out.append(newest)
        self._olds.clear()
        return list(self._newest.values()), out
