"""The faults: what is done to a server while visitors ask.

Each begins when there has been load for a second, and is over when its function
returns.
What a server has no process for is not done to it: a row says what stands for it.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from bench.live.faults.site import Site
from bench.live.faults.victim import BROKER, FRONT, STOP_S, SUPERVISOR, WORKER, Victim
from bench.live.faults.visitors import Visitors

LUAFARM: Final = "luafarm"
PHP: Final = "php-fpm"
UWSGI: Final = "uwsgi-lua"
LUAFCGID: Final = "luafcgid"

_LOOPS: Final = 8
_GREEDY: Final = 2
_LEAVING: Final = 8


@dataclass(slots=True)
class Stage:
    """What a fault may touch."""

    victim: Victim
    site: Site
    visitors: Visitors
    suffix: str  # of scripts
    drawing: random.Random
    notes: list[str] = field(default_factory=list)

    def picked(self, role: str) -> list[int]:
        """Return one process of a role that does not hang, if there is one."""
        pids = self.victim.able(role)
        return [self.drawing.choice(pids)] if pids else []


Act = Callable[[Stage], None]
"""What a fault does; it returns when that is over."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A fault: a row of the table."""

    name: str
    about: str
    act: Act
    after_s: float = 4.0  # for which visitors ask on once it is over
    #: by server, what is said in place of doing it
    instead: dict[str, str] = field(default_factory=dict)


def _nothing(stage: Stage) -> None:
    time.sleep(6.0)


def _killing(role: str, times: int, every_s: float) -> Act:
    def act(stage: Stage) -> None:
        for _ in range(times):
            for pid in stage.picked(role):
                stage.victim.kill(pid)
            time.sleep(every_s)

    return act


def _hang_one(stage: Stage) -> None:
    for _ in range(2):
        for pid in stage.picked(WORKER):
            stage.victim.hang(pid)
        time.sleep(5.0)


def _hang_all(stage: Stage) -> None:
    for pid in stage.victim.of(WORKER):
        stage.victim.hang(pid)
    time.sleep(6.0)


def _kill_first(stage: Stage) -> None:
    stage.victim.kill(stage.victim.pid)
    time.sleep(4.0)


def _reload(stage: Stage) -> None:
    for _ in range(4):
        stage.victim.reload()
        time.sleep(2.5)


def _stop_and_start(stage: Stage) -> None:
    for _ in range(2):
        if not stage.victim.stop():
            stage.notes.append(f"does not end, and is killed after {STOP_S:.0f} s")
            stage.victim.close()
        stage.victim.start()
        time.sleep(5.0)  # on a busy machine a start takes some seconds


def _loop(stage: Stage) -> None:
    for _ in range(_LOOPS):
        stage.visitors.start_once(f"/loop.{stage.suffix}")
    time.sleep(8.0)


def _greedy(stage: Stage) -> None:
    for _ in range(_GREEDY):
        stage.visitors.start_repeating(f"/greedy.{stage.suffix}")
    time.sleep(6.0)
    stage.visitors.dismiss()


def _deploy(stage: Stage) -> None:
    for _ in range(20):
        stage.site.deploy()
        time.sleep(0.3)


def _deploy_seldom(stage: Stage) -> None:
    for _ in range(3):
        stage.site.deploy()
        time.sleep(3.0)


def _leave(stage: Stage) -> None:
    for number in range(_LEAVING):
        stage.visitors.start_leaving(number)
    time.sleep(8.0)
    stage.visitors.dismiss()


_ONE: Final = "all of it is one process: see "
_WORKERS: Final = "visitors' requests go to its workers: see "
_NONE: Final = "has no such process"
_AND_NOT_OTHERS: Final = {PHP: _NONE, UWSGI: _NONE, LUAFCGID: _NONE}
_KILLED: Final = "*a worker is killed*"

ALL: Final = (
    Kind("nothing", "nothing", _nothing, after_s=1.0),
    Kind("kill-worker", "a worker is killed, 12 times", _killing(WORKER, 12, 0.6)),
    Kind("hang-worker", "a worker hangs, then a second one", _hang_one),
    Kind(
        "hang-workers",
        "all workers hang",
        _hang_all,
        after_s=6.0,
        instead={LUAFCGID: _ONE + "*a worker hangs*"},
    ),
    Kind(
        "kill-front",
        "what the web server talks to is killed, 3 times",
        _killing(FRONT, 3, 2.5),
        instead={
            PHP: _WORKERS + _KILLED,
            UWSGI: _WORKERS + _KILLED,
            LUAFCGID: _ONE + _KILLED,
        },
    ),
    Kind(
        "kill-broker",
        "what places scripts (broker) is killed, 3 times",
        _killing(BROKER, 3, 2.5),
        instead=_AND_NOT_OTHERS,
    ),
    Kind(
        "kill-supervisor",
        "what starts workers (supervisor) is killed, 3 times",
        _killing(SUPERVISOR, 3, 2.5),
        instead={
            PHP: "that is its master: see the next row",
            UWSGI: "that is its master: see the next row",
            LUAFCGID: _NONE,
        },
    ),
    Kind(
        "kill-first",
        "the first process (`luafarm up`, the master) is killed, and nobody starts it",
        _kill_first,
        instead={LUAFCGID: _ONE + _KILLED},
    ),
    Kind(
        "reload",
        "reload, 4 times (HUP; php-fpm: USR2)",
        _reload,
        instead={LUAFCGID: "has none: HUP ends it"},
    ),
    Kind("restart", "stopped and started, 2 times", _stop_and_start),
    Kind("loop", f"a script that loops for ever, {_LOOPS} at once", _loop, 6.0),
    Kind("greedy", "a script that takes all memory, again and again", _greedy),
    Kind("deploys", "a deploy each 0.3 s, 20 times", _deploy),
    Kind("deploy", "a deploy each 3 s, 3 times", _deploy_seldom),
    Kind("leave", f"{_LEAVING} visitors who do not wait for the answer", _leave),
)
"""In the order of the table."""


def chosen(names: str) -> tuple[Kind, ...]:
    """Return the faults that a list with commas names; empty: all. Raise ValueError."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    known = {kind.name for kind in ALL}
    for name in wanted:
        if name not in known:
            raise ValueError(f"no fault is called {name!r}; there are {sorted(known)}")
    return tuple([kind for kind in ALL if not wanted or kind.name in wanted])
