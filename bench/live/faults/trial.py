"""One trial: a server behind nginx, visitors, one fault, and what is left over."""

import random
import signal
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.daemon import DaemonError
from bench.live.faults import verdict, visitors
from bench.live.faults.kinds import LUAFARM, LUAFCGID, PHP, UWSGI, Kind, Stage
from bench.live.faults.order import SCRIPT
from bench.live.faults.site import Site
from bench.live.faults.verdict import Span, Verdict
from bench.live.faults.victim import (
    BROKER,
    FRONT,
    SUPERVISOR,
    WORKER,
    Anatomy,
    Victim,
)
from bench.peers.luafarm import Luafarm
from bench.peers.luafcgid import Luafcgid
from bench.peers.peer import Peer, Room
from bench.peers.phpfpm import PhpFpm
from bench.peers.uwsgi import Uwsgi

WORKERS: Final = 4
LIMIT_S: Final = 4  # of one request, where a server can be told one
_BEFORE_S: Final = 1.0
_READY_S: Final = 120.0
_WARM: Final = 20  # right answers in a row

_LUAFARM: Final = f"""\
hosts = {WORKERS}
wall = "{LIMIT_S} s"
"""
_PHP: Final = f"request_terminate_timeout = {LIMIT_S}s"
_PHP_CONTROL: Final = "process_control_timeout = 10s"
_UWSGI: Final = (
    f"--harakiri={LIMIT_S}",
    "--limit-as=1024",
    "--hook-master-start=unix_signal:15 gracefully_kill_them_all",
)
MEMORY_BYTES: Final = 1 << 30
"""Address space of what has no limit of its own."""

_ANATOMY: Final = {
    LUAFARM: Anatomy(
        {
            WORKER: "luafarm-vmhost ",
            FRONT: "luafarm-front",
            BROKER: "luafarm-broker",
            SUPERVISOR: "luafarm-supervisor",
        },
        reload=signal.SIGHUP,
    ),
    PHP: Anatomy(reload=signal.SIGUSR2, stop=signal.SIGQUIT),
    UWSGI: Anatomy(reload=signal.SIGHUP),
    LUAFCGID: Anatomy(has_children=False, stops=False, memory_bytes=MEMORY_BYTES),
}
_LANGUAGES: Final = {LUAFARM: "lua", PHP: "php", UWSGI: "wsapi", LUAFCGID: "lua"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a trial."""

    verdict: Verdict
    workers: int  # processes of workers that there should be
    able: int  # of those, at its end: how many there are that do not hang
    left: int  # processes after the stop, or after the first one was killed
    notes: Sequence[str]


def merged(outcomes: Sequence[Outcome]) -> Outcome:
    """Return what came of several trials of the same, the worst of each."""
    return Outcome(
        verdict=verdict.merged([one.verdict for one in outcomes]),
        workers=outcomes[0].workers,
        able=min(one.able for one in outcomes),
        left=max(one.left for one in outcomes),
        notes=tuple(dict.fromkeys(note for one in outcomes for note in one.notes)),
    )


def peers(luafarm: str, luafcgid: Path | None) -> tuple[Peer, ...]:
    """Return what is compared, each as its makers would set it up for this."""
    return (
        Luafarm(tuple(luafarm.split()), trust="trusted", extra=_LUAFARM),
        PhpFpm(control=_PHP_CONTROL, extra=_PHP),
        Uwsgi(extra=_UWSGI),
        Luafcgid(luafcgid, sweep_ms=1000),
    )


def run(peer: Peer, kind: Kind, seed: int) -> Outcome:
    """Do this to a fresh server. Raise DaemonError: it does not serve even before."""
    with tempfile.TemporaryDirectory(prefix="luafarm-faults-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        with peer.serve(Room(directory, WORKERS, 1)) as served:
            assert served.backend is not None
            victim = Victim(served.backend, _ANATOMY[peer.name])
            site = Site(
                served.root, directory / "ledger", peer.suffix, _LANGUAGES[peer.name]
            )
            try:
                _await(served.port, peer, victim)
                site.ledger.write_text("")
                return _tried(peer, kind, seed, served.port, victim, site)
            finally:
                victim.close()


def _await(port: int, peer: Peer, victim: Victim) -> None:
    """Return when everything is warm."""
    deadline = time.monotonic() + _READY_S
    path = f"/{SCRIPT}.{peer.suffix}?id=warm&lines=1&pieces=1&wait=0"
    good = 0
    while good < _WARM or len(victim.of(WORKER)) < victim.anatomy.workers(WORKERS):
        good = good + 1 if visitors.get(port, path) == 200 else 0
        if time.monotonic() > deadline:
            raise DaemonError(f"{peer.name} does not serve {path}")


def _tried(
    peer: Peer, kind: Kind, seed: int, port: int, victim: Victim, site: Site
) -> Outcome:
    text = f"{seed} {kind.name}"
    with visitors.asking(port, peer.suffix, text) as crowd:
        stage = Stage(victim, site, crowd, peer.suffix, random.Random(text))
        begun = time.monotonic()
        time.sleep(_BEFORE_S)
        kind.act(stage)
        quiet = time.monotonic()
        time.sleep(kind.after_s)
        ended = time.monotonic()
    workers = victim.anatomy.workers(WORKERS)
    able = victim.able_soon(workers)
    if not victim.anatomy.stops:
        victim.kill(victim.pid)
    elif not victim.stop():
        stage.notes.append("cannot be stopped")
    seen = verdict.judge(
        crowd.answers,
        site.ledger.read_text(),
        site.deploys,
        Span(begun, quiet, ended),
    )
    return Outcome(
        verdict=seen,
        workers=workers,
        able=able,
        left=len(victim.left()),
        notes=tuple(stage.notes),
    )
