"""Scripts that budgets stop again and again get few VM hosts while that goes on.

Any visitor may send the request that takes too long, so a soft stop never takes a
script away from the others: it only lowers the script's share of its pool, so that what
is slow about it cannot hold all VM hosts for its budget again and again. It ends when
the window holds fewer stops than the limit, and leaves nothing behind: who wants it to
go on must go on sending. A changed file is a new chance.
"""

# Compiled.

from typing import Final

from luafarm.names import Script

_MAX_SUSPECTS: Final = 4096


class _Suspect:
    def __init__(self) -> None:
        self.stops: list[float] = []  # when; the newest, as many as are too many
        self.why = ""  # of the last one


class Restraint:
    """Soft stops by script, as far as they count."""

    def __init__(self, limit: int, window_s: float) -> None:
        """limit: stops within the window that are too many; 0: none ever are."""
        self._limit = limit
        self._window_s = window_s
        #: in order of their last stop
        self._suspects: dict[Script, _Suspect] = {}
        #: scripts whose end of the restraint was not asked for yet
        self._restrained: dict[Script, None] = {}
        self.count = 0  # restraints since the start

    def __len__(self) -> int:
        """Return the number of scripts that were stopped."""
        return len(self._suspects)

    def stopped(self, script: Script, why: str, now: float, times: int = 1) -> bool:
        """Count stops; return whether the script is restrained because of them."""
        if not self._limit:
            return False
        was_restrained = self.left_s(script, now) > 0.0
        suspect = self._suspects.pop(script, None) or _Suspect()
        self._suspects[script] = suspect
        if len(self._suspects) > _MAX_SUSPECTS:
            self.pardon(next(iter(self._suspects)))
        more = [now] * min(times, self._limit)
        suspect.stops = (suspect.stops + more)[-self._limit :]
        suspect.why = why
        if was_restrained or self.left_s(script, now) <= 0.0:
            return False
        self.count += 1
        self._restrained[script] = None
        return True

    def left_s(self, script: Script, now: float) -> float:
        """Return how long the script is restrained if nothing more happens; 0: not."""
        suspect = self._suspects.get(script)
        if suspect is None or len(suspect.stops) < self._limit:
            return 0.0
        return max(0.0, suspect.stops[0] + self._window_s - now)

    def current(self, now: float) -> list[tuple[Script, float, str]]:
        """Return who is restrained: script, seconds left, why."""
        found: list[tuple[Script, float, str]] = []
        for script in self._restrained:
            left_s = self.left_s(script, now)
            if left_s > 0.0:
                found.append((script, left_s, self._suspects[script].why))
        return found

    def pardon(self, script: Script) -> bool:
        """Forget the stops, as the file changed; return whether there were any."""
        return self._suspects.pop(script, None) is not None

    def released(self, now: float) -> list[Script]:
        """Return the scripts that are restrained no more since the last call."""
        ended = [s for s in self._restrained if self.left_s(s, now) <= 0.0]
        for script in ended:
            del self._restrained[script]
        return ended
