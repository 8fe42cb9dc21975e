"""Which supervisors speak for each machine.

A machine is a name, and two processes may claim it: two with the same host name, or one
that was started anew before anybody knew that the other is gone. The first one keeps
the name as long as it lives. A process is told apart by its incarnation, a random
number, together with the key with which it came in, so that nobody else can be it.

Only while supervisors are replaced several speak for one machine: their parent has
started one beside another, and said so to the later one.
"""

from dataclasses import dataclass

from luafarm.names import Machine


@dataclass(frozen=True, slots=True)
class Speaker:
    """One supervisor process."""

    incarnation: int
    key: str  # Z85; empty where there are no keys
    beside: tuple[int, ...] = ()  # incarnations that lived when it was started

    def is_same(self, other: "Speaker") -> bool:
        """Return whether it is the same process."""
        return (self.incarnation, self.key) == (other.incarnation, other.key)

    def is_beside(self, other: "Speaker") -> bool:
        """Return whether one of the two was started beside the other."""
        if self.key != other.key:
            return False
        return other.incarnation in self.beside or self.incarnation in other.beside


class _Holder:
    def __init__(self, speaker: Speaker, peer: bytes, heard_at: float) -> None:
        self.speaker = speaker
        self.peer = peer  # its latest connection
        self.heard_at = heard_at


class Supervisors:
    """The holders of the machines' names."""

    def __init__(self, silence_s: float) -> None:
        """silence_s: without a word, after which a name is free."""
        self._silence_s = silence_s
        self._holders: dict[Machine, list[_Holder]] = {}

    def rivals(self, machine: Machine, speaker: Speaker, now: float) -> list[bytes]:
        """Return the connections of who has the name; none: it may be taken."""
        return [
            holder.peer
            for holder in self._holders.get(machine, ())
            if _is_rival(holder, speaker) and not self._is_silent(holder, now)
        ]

    def take(self, machine: Machine, speaker: Speaker, peer: bytes, now: float) -> bool:
        """Let a process speak for a machine; return whether it replaces another one."""
        before = self._holders.get(machine, [])
        others = [h for h in before if not h.speaker.is_same(speaker)]
        stay = [h for h in others if not _is_rival(h, speaker)]
        self._holders[machine] = [*stay, _Holder(speaker, peer, now)]
        return len(stay) < len(others)

    def hears(
        self, machine: Machine, speaker: Speaker, peer: bytes, now: float
    ) -> bool:
        """Return whether a process speaks for this machine, and that it just did.

        One that was silent for too long does so again if nobody took the name.
        """
        holders = self._holders.get(machine, [])
        for holder in holders:
            if holder.speaker.is_same(speaker):
                holder.heard_at = now
                return True
        if any(_is_rival(holder, speaker) for holder in holders):
            return False
        self.take(machine, speaker, peer, now)
        return True

    def incarnations(self, machine: Machine) -> tuple[int, ...]:
        """Return who speaks for a machine, or may live beside those that do."""
        speakers = [holder.speaker for holder in self._holders.get(machine, ())]
        found = [speaker.incarnation for speaker in speakers]
        found += [other for speaker in speakers for other in speaker.beside]
        return tuple(dict.fromkeys(found))

    def peers(self, machine: Machine) -> list[bytes]:
        """Return the connections of a machine's supervisors."""
        return [holder.peer for holder in self._holders.get(machine, ())]

    def forget_silent(self, now: float, fresh: float = 0.0) -> None:
        """Free the names of those that have been silent for too long.

        fresh: before it nobody could be heard, because who listens was stopped.
        """
        for machine, holders in list(self._holders.items()):
            for holder in holders:
                holder.heard_at = max(holder.heard_at, fresh)
            heard = [h for h in holders if not self._is_silent(h, now)]
            if heard:
                self._holders[machine] = heard
            else:
                del self._holders[machine]

    def _is_silent(self, holder: _Holder, now: float) -> bool:
        return now - holder.heard_at > self._silence_s


def _is_rival(holder: _Holder, speaker: Speaker) -> bool:
    theirs = holder.speaker
    return not theirs.is_same(speaker) and not theirs.is_beside(speaker)
