"""Which supervisor speaks for each machine.

A machine is a name, and two processes may claim it: two with the same host name, or one
that was started anew before anybody knew that the other is gone. The first one keeps
the name as long as it lives. A process is told apart by its incarnation, a random
number, together with the key with which it came in, so that nobody else can be it.
"""

from dataclasses import dataclass

from luafarm.names import Machine


@dataclass(frozen=True, slots=True)
class Speaker:
    """One supervisor process."""

    incarnation: int
    key: str  # Z85; empty where there are no keys


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
        self._holders: dict[Machine, _Holder] = {}

    def rival(self, machine: Machine, speaker: Speaker, now: float) -> bytes | None:
        """Return the connection of who has the name, None when it may be taken."""
        holder = self._holders.get(machine)
        if holder is None or holder.speaker == speaker:
            return None
        return None if self._is_silent(holder, now) else holder.peer

    def take(self, machine: Machine, speaker: Speaker, peer: bytes, now: float) -> bool:
        """Let a process speak for a machine; return whether it replaces another one."""
        holder = self._holders.get(machine)
        self._holders[machine] = _Holder(speaker, peer, now)
        return holder is not None and holder.speaker != speaker

    def hears(
        self, machine: Machine, speaker: Speaker, peer: bytes, now: float
    ) -> bool:
        """Return whether a process speaks for this machine, and that it just did.

        One that was silent for too long does so again if nobody took the name.
        """
        holder = self._holders.get(machine)
        if holder is None:
            self.take(machine, speaker, peer, now)
            return True
        if holder.speaker != speaker:
            return False
        holder.heard_at = now
        return True

    def peer(self, machine: Machine) -> bytes | None:
        """Return the connection of a machine's supervisor."""
        holder = self._holders.get(machine)
        return None if holder is None else holder.peer

    def forget_silent(self, now: float, fresh: float = 0.0) -> None:
        """Free the names of those that have been silent for too long.

        fresh: before it nobody could be heard, because who listens was stopped.
        """
        for machine, holder in list(self._holders.items()):
            holder.heard_at = max(holder.heard_at, fresh)
            if self._is_silent(holder, now):
                del self._holders[machine]

    def _is_silent(self, holder: _Holder, now: float) -> bool:
        return now - holder.heard_at > self._silence_s
