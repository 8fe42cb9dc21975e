"""What one run of the benchmark does, as chosen on the command line."""

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from bench import script
from bench.peers.luafarm import Luafarm, beside
from bench.peers.luafcgid import Luafcgid
from bench.peers.modlua import ModLua
from bench.peers.nginxlua import NginxLua
from bench.peers.peer import Peer
from bench.peers.phpfpm import PhpFpm
from bench.peers.uwsgi import Uwsgi
from bench.script import Script

RESULTS = Path(__file__).with_name("results")


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that was decided before the first process starts."""

    peers: tuple[Peer, ...]
    scripts: tuple[Script, ...]
    concurrency: tuple[int, ...]
    rounds: int
    seconds: int
    warm_s: float
    workers: int
    nginx_workers: int
    relative_to: str
    luafarm: tuple[str, ...]
    probes: int
    results: Path
    keep: bool


def parse(arguments: list[str]) -> Plan:
    """Make the plan that the command line asks for; exit with 2 on nonsense."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    if chosen.quick:
        parser.set_defaults(
            rounds=1, concurrency=[1, 32], scripts=["hello", "bench1"], probes=15
        )
        chosen = parser.parse_args(arguments)
    luafarm = tuple(str(chosen.luafarm).split())
    peers: tuple[Peer, ...] = (
        Luafarm(luafarm),
        Luafcgid(chosen.luafcgid),
        PhpFpm(),
        NginxLua(),
        ModLua("once"),
        ModLua("thread"),
        Uwsgi(),
    )
    names = [peer.name for peer in peers]
    _check(parser, "peer", chosen.peers or names, names)
    _check(parser, "script", chosen.scripts, [one.name for one in script.ALL])
    return Plan(
        peers=tuple(p for p in peers if p.name in (chosen.peers or names)),
        scripts=tuple(s for s in script.ALL if s.name in chosen.scripts),
        concurrency=tuple(chosen.concurrency),
        rounds=chosen.rounds,
        seconds=chosen.seconds,
        warm_s=chosen.warm,
        workers=chosen.workers,
        nginx_workers=chosen.nginx_workers,
        relative_to=chosen.relative_to,
        luafarm=luafarm,
        probes=chosen.probes,
        results=chosen.results,
        keep=chosen.keep,
    )


def _check(
    parser: argparse.ArgumentParser, what: str, chosen: list[str], known: list[str]
) -> None:
    for name in chosen:
        if name not in known:
            parser.error(f"no {what} {name!r}; there are {', '.join(known)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure luafarm and its peers behind nginx on this machine.",
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="a subset that takes under two minutes")
    add("--peers", type=_names, help="comma list; all that are installed by default")
    add(
        "--scripts",
        type=_names,
        default=[one.name for one in script.ALL],
        help="comma list of " + ", ".join(one.name for one in script.ALL),
    )
    add(
        "--concurrency",
        type=_counts,
        default=[1, 10, 32, 128],
        help="comma list of numbers of connections (default 1,10,32,128)",
    )
    add("--rounds", type=int, default=3, help="alternating rounds (default 3)")
    add("--seconds", type=int, default=1, help="length of one load (default 1)")
    add("--warm", type=float, default=0.3, help="unmeasured load before it, seconds")
    add("--workers", type=int, default=4, help="workers of pre-forking peers")
    add("--nginx-workers", type=int, default=os.cpu_count() or 1)
    add("--relative-to", default="php-fpm", help="peer that ratios are relative to")
    add(
        "--luafarm",
        default=str(beside(Path(sys.executable))),
        metavar="COMMAND",
        help="luafarm command to measure (default: beside this interpreter)",
    )
    add("--luafcgid", type=Path, metavar="PATH", help="binary of luafcgid, if any")
    add("--probes", type=int, default=50, help="files of the latency probes; 0: none")
    add("--results", type=Path, default=RESULTS, help="directory for the results")
    add("--keep", action="store_true", help="keep the working directory and its logs")
    return parser


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _counts(text: str) -> list[int]:
    counts = [int(name) for name in _names(text)]
    if not counts or min(counts) < 1:
        raise argparse.ArgumentTypeError(f"not a list of positive numbers: {text}")
    return counts
