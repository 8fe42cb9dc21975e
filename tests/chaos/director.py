"""What was planned is done when its time has come, lane by lane, and written down."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from tests.chaos.faults import FAULTS
from tests.chaos.kinds import Lane
from tests.chaos.record import Act
from tests.chaos.schedule import Planned
from tests.chaos.stage import Stage


class Director:
    """One thread for each lane; use `directing`."""

    def __init__(
        self,
        stage: Stage,
        timeline: Mapping[Lane, Sequence[Planned]],
        tell: Callable[[Act], None],
    ) -> None:
        self.acts: list[Act] = []
        self.start = time.monotonic()
        self._stage = stage
        self._tell = tell
        self._failures: list[BaseException] = []
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=self._guarded, args=(planned,))
            for planned in timeline.values()
        ]
        for thread in self._threads:
            thread.start()

    def finish(self, seconds: float) -> None:
        """Let the time pass; what is being done then comes to its end.

        Raise what a fault raised. An end of the farm ends the wait.
        """
        end = self.start + seconds
        while time.monotonic() < end and not self._is_over.wait(0.1):
            if self._failures:
                break
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        if self._failures:
            raise self._failures[0]

    def abandon(self) -> None:
        """Begin nothing more."""
        self._is_over.set()

    def _guarded(self, planned: Sequence[Planned]) -> None:
        try:
            for one in planned:
                if self._is_over.wait(self.start + one.at_s - time.monotonic()):
                    return
                self._act(one)
        except BaseException as error:  # noqa: BLE001 - raised where it is seen
            self._failures.append(error)

    def _act(self, planned: Planned) -> None:
        began = time.monotonic()
        done = FAULTS[planned.kind](self._stage, planned, self._is_over.wait)
        act = Act(
            planned.kind,
            began,
            time.monotonic(),
            done.victims,
            done.note,
            done.unreplaced,
        )
        self.acts.append(act)
        self._tell(act)


@contextlib.contextmanager
def directing(
    stage: Stage,
    timeline: Mapping[Lane, Sequence[Planned]],
    tell: Callable[[Act], None],
) -> Iterator[Director]:
    """Do what was planned while the block runs; call `finish` in it."""
    director = Director(stage, timeline, tell)
    try:
        yield director
    finally:
        director.abandon()
