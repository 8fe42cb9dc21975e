"""What happened to the broker last, for the log when something goes wrong.

An event may name thousands of files, and a VM host chooses how often it tells of them;
so the story is bounded by what its events and actions name, besides their number.
"""

from collections import deque
from collections.abc import Iterator
from typing import Final

from broker.actions import Action, Load
from broker.events import Changed, Event, Inventoried, LoadFailed, StateLoaded

_LONGEST: Final = 256
MOST_NAMED: Final = 4096
"""Files, states and actions in all of the story; of most events it is a handful."""

Chapter = tuple[float, Event, list[Action]]
"""(when, what happened, what was ordered then)."""


class Story:
    """The last events, with the actions that each called for."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._chapters: deque[tuple[Chapter, int]] = deque()
        self._named = 0
        self._last: Chapter | None = None

    def __iter__(self) -> Iterator[Chapter]:
        """Yield what is remembered, the newest last, which is there however large."""
        yield from [chapter for chapter, _ in self._chapters]
        if self._last is not None:
            yield self._last

    def begin(self, chapter: Chapter) -> None:
        """Remember an event; its list of actions grows until the next one."""
        if self._last is not None:
            named = weight(self._last)
            self._named += named
            self._chapters.append((self._last, named))
        self._last = chapter
        while self._named > MOST_NAMED or len(self._chapters) >= _LONGEST:
            self._named -= self._chapters.popleft()[1]


def weight(chapter: Chapter) -> int:
    """Return how many files, states and actions an event and its actions name."""
    _, event, actions = chapter
    named = len(actions)
    for action in actions:
        if isinstance(action, Load):
            named += len(action.dependencies)
    match event:
        case StateLoaded() | LoadFailed():
            return named + len(event.dependencies) + len(event.changed)
        case Changed():
            return named + len(event.files) + len(event.passed) + len(event.meant)
        case Inventoried():
            rows = [1 + len(row.dependencies) for row in event.states]
            return named + sum(rows)
        case _:
            return named
