"""Scripts that keep killing VM hosts are not loaded for a while.

Too many deaths within the window, and the script is refused; after that one more is
enough for the next pause, which is twice as long. What a death counts is weighed in
`broker.guilt`. A changed file is a new chance, and
so is a long time without a death. What budgets stop without a death is another matter:
`broker.restraint`.
"""

# Compiled.

from typing import Final

from luafarm.config.settings import Broker
from luafarm.names import Script

_MAX_SUSPECTS: Final = 4096
_MOST_DEATHS: Final = 4  # kept for each whole one that is too many: a quarter each


class _Suspect:
    def __init__(self) -> None:
        self.deaths: list[tuple[float, float]] = []  # when, and what each counts
        self.times = 0  # how often it was quarantined
        self.until = 0.0
        self.last = 0.0
        self.why = ""  # it was refused


class Quarantine:
    """Deaths by script."""

    def __init__(self, settings: Broker) -> None:
        self._settings = settings
        #: in order of their last death
        self._suspects: dict[Script, _Suspect] = {}
        #: scripts whose end of quarantine was not asked for yet
        self._refused: dict[Script, None] = {}
        self.count = 0  # quarantines imposed since the start

    def __len__(self) -> int:
        """Return the number of scripts under which something died."""
        return len(self._suspects)

    def blame(self, script: Script, why: str, now: float, weight: float = 1.0) -> bool:
        """Count a death; return whether the script is quarantined because of it.

        weight: what it counts, 1 being a whole one.
        """
        limit = self._settings.quarantine_deaths
        if not limit or weight <= 0.0:
            return False
        suspect = self._suspects.pop(script, None) or _Suspect()
        self._suspects[script] = suspect
        if len(self._suspects) > _MAX_SUSPECTS:
            self.pardon(next(iter(self._suspects)))
        if now - max(suspect.last, suspect.until) > self._settings.quarantine_max:
            suspect.times = 0
        suspect.last = now
        since = now - self._settings.quarantine_window
        recent = [death for death in suspect.deaths if death[0] > since]
        suspect.deaths = [*recent, (now, weight)][-limit * _MOST_DEATHS :]
        enough = 1 if suspect.times else limit
        if suspect.until > now or sum([w for _, w in suspect.deaths]) < enough:
            return False
        pause = self._settings.quarantine * 2.0 ** min(suspect.times, 32)
        suspect.until = now + min(pause, self._settings.quarantine_max)
        suspect.times += 1
        suspect.why = why
        suspect.deaths.clear()
        self.count += 1
        self._refused[script] = None
        return True

    def remaining_s(self, script: Script, now: float) -> float:
        """Return how long the script is still refused; 0: not at all."""
        suspect = self._suspects.get(script)
        return max(0.0, suspect.until - now) if suspect is not None else 0.0

    def refused(self, now: float) -> list[tuple[Script, float, str, int]]:
        """Return who is refused: script, seconds left, why, for which time."""
        found: list[tuple[Script, float, str, int]] = []
        for script in self._refused:
            left_s = self.remaining_s(script, now)
            if left_s > 0.0:
                suspect = self._suspects[script]
                found.append((script, left_s, suspect.why, suspect.times))
        return found

    def pardon(self, script: Script) -> bool:
        """Forget the deaths, as the file changed; return whether there were any."""
        return self._suspects.pop(script, None) is not None

    def released(self, now: float) -> list[Script]:
        """Return the scripts that are refused no more since the last call."""
        ended = [s for s in self._refused if self.remaining_s(s, now) <= 0.0]
        for script in ended:
            del self._refused[script]
        return ended
