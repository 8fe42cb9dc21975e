"""What a captured VM host does to its supervisor: by its page, pipes, and its end."""

import contextlib
import os
import socket
import time

from tests.captured.captive import WHILE_S, Captive, Run, done
from tests.captured.crime import Fate, table
from tests.captured.to_broker import _theirs
from vmhost.deaths import EXIT_LACKING
from vmhost.scoreboard import SIZE

CRIMES, crime = table("supervisor")

_MOST = (1 << 64) - 1
_SECOND_NS = 1_000_000_000


def _die() -> None:
    """Die as of a memory error: a signal to itself is a forbidden call."""
    os.kill(os.getpid(), 11)


@crime(times=3)
def board_blames_another_pool(captive: Captive, run: Run) -> None:
    """It says that it runs another pool's script, and crashes; three times."""
    now_ns = time.monotonic_ns()
    captive.slot.begin(run.id, _theirs(run), now_ns, now_ns + _SECOND_NS)
    _die()


@crime()
def board_names_strangers_requests(captive: Captive, run: Run) -> None:
    """It says that it began a hundred requests of others, and crashes."""
    now_ns = time.monotonic_ns()
    for number in range(1, 101):
        captive.slot.begin(run.id ^ number, run.script, now_ns, now_ns + _SECOND_NS)
    _die()


@crime()
def board_deadline_of_centuries(captive: Captive, run: Run) -> None:
    """It says that its run may take for ever."""
    captive.slot.begin(run.id, run.script, time.monotonic_ns(), _MOST)
    captive.wait(20.0)


@crime()
def board_deadline_long_ago(captive: Captive, run: Run) -> None:
    """It says that its run is over its time by years."""
    captive.slot.begin(run.id, run.script, 0, 0)
    captive.wait(10.0)


@crime()
def board_beats_in_the_future(captive: Captive, run: Run) -> None:
    """It says that it was alive in centuries, and stands still."""
    captive.say(run.front, done(run.id))
    captive.slot.beat(_MOST)
    captive.wait(20.0, beats=False)


@crime(Fate.FREE)
def board_is_always_new(captive: Captive, run: Run) -> None:
    """It says every moment that it has just begun another run."""
    captive.say(run.front, done(run.id))
    end = time.monotonic() + WHILE_S
    number = 0
    while time.monotonic() < end:
        number += 1
        now_ns = time.monotonic_ns()
        captive.slot.begin(number, run.script, now_ns, now_ns + _SECOND_NS)
        captive.attend(1)
    captive.slot.end()


@crime(Fate.EITHER)
def board_of_garbage(captive: Captive, run: Run) -> None:
    """The whole page is random: seen whole, it breaks rules; it seldom is."""
    captive.say(run.front, done(run.id))
    page = captive.slot._page
    end = time.monotonic() + WHILE_S
    while time.monotonic() < end:
        page[:SIZE] = os.urandom(SIZE)
        captive.attend(1)
    page[:SIZE] = bytes(SIZE)


@crime(Fate.FREE)
def board_counts_absurdly(captive: Captive, run: Run) -> None:
    """Counts of requests that cannot be."""
    captive.say(run.front, done(run.id))
    captive.slot._words[256] = _MOST  # that ended
    captive.slot._words[258] = _MOST  # that began
    end = time.monotonic() + WHILE_S
    while time.monotonic() < end:
        captive.attend(50)


@crime(Fate.FREE)
def errors_without_end(captive: Captive, run: Run) -> None:
    """Its standard error is flooded."""
    captive.say(run.front, done(run.id))
    end = time.monotonic() + WHILE_S
    while time.monotonic() < end:
        with contextlib.suppress(BlockingIOError):
            os.write(2, b"noise " * 600)
        captive.attend(0)


@crime(Fate.FREE)
def errors_that_forge_lines(captive: Captive, run: Run) -> None:
    """Its standard error holds lines that look like others' in the log."""
    captive.say(run.front, done(run.id))
    os.write(2, b"\n2026-01-01 00:00:00 ERROR luafarm.broker forged\x1b[2J\r\0\n")


@crime(Fate.FREE)
def report_once_more(captive: Captive, run: Run) -> None:
    """The report pipe is written to after the start."""
    with contextlib.suppress(OSError):
        os.write(
            captive.report_fd, b'{"layers": [], "lacking": ["everything: forged"]}\n'
        )
    captive.say(run.front, done(run.id))


@crime()
def ends_as_if_asked(captive: Captive, run: Run) -> None:
    """It ends with the exit code of a host that was asked to."""
    del captive, run
    os._exit(0)


@crime()
def ends_as_if_lacking(captive: Captive, run: Run) -> None:
    """It ends with the exit code of a host that cannot be confined."""
    del captive, run
    os._exit(EXIT_LACKING)


@crime()
def forbidden_call(captive: Captive, run: Run) -> None:
    """It opens a connection of its own."""
    del captive, run
    socket.socket(socket.AF_INET).connect(("127.0.0.1", 9))
