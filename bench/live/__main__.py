"""``python -m bench.live``: what only a live farm behind nginx can show.

deploys   100 deploys at one a second, and 20 broken ones, under load
zipf      200 scripts, room for 50 states, against the simulator on the same trace
mix       quick scripts among slow ones, against an ideal queue with the same arrivals
overload  three times what the farm can do (--seconds 20): what visitors get, how soon
faults    processes killed and hung, reloads, deploys and more, to it and other servers
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import nginx
from bench.daemon import DaemonError
from bench.live import mix, overload, zipf
from bench.live.deploys import DeployError, Deploys
from bench.live.faults import comparison
from bench.peers.luafarm import Luafarm, beside
from bench.peers.peer import Peer, Room, Served
from bench.peers.phpfpm import PhpFpm


@contextmanager
def farm(luafarm: str, extra: str) -> Iterator[tuple[Served, Path]]:
    """Run a farm behind nginx with these settings; give it and its directory."""
    with tempfile.TemporaryDirectory(prefix="luafarm-live-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        peer = Luafarm(tuple(luafarm.split()), extra=extra)
        with peer.serve(Room(directory, 1, 1)) as served:
            yield served, directory


def status(luafarm: str, directory: Path) -> dict[str, Any]:
    """Return the farm's status."""
    configuration = str(directory / "luafarm.toml")
    command = [*luafarm.split(), "status", "--json", "--config", configuration]
    done = subprocess.run(command, check=True, capture_output=True, timeout=30)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def deploys(luafarm: str, number: int, broken: int, every_s: float) -> bool:
    """Deploy under load and print what was seen; return whether all was well."""
    with farm(luafarm, "") as (served, directory):
        run = Deploys(served.port, served.root, every_s=every_s)
        with run.load():
            run.rounds(number)
            run.broken(
                broken,
                lambda: status(luafarm, directory)["counts"].get("last_good", 0),
            )
    print(run.outcome)
    return run.outcome.is_clean


def little_room(luafarm: str, shape: zipf.Shape) -> bool:
    """Ask for more scripts than there is room for; print it beside the simulator's."""
    room = f"""
[broker]
states = {shape.states}
clones = 1
"""
    with farm(luafarm, room) as (served, directory):
        zipf.write(served.root, shape)
        outcome = zipf.live(served.port, shape)
        hosts = len(status(luafarm, directory)["hosts"])
    expected = zipf.simulated(shape, hosts, os.cpu_count() or 1)
    off = outcome.ratio / expected - 1.0
    print(
        f"{shape.scripts} scripts, room for {shape.states}, Zipf {zipf.EXPONENT}, "
        f"{shape.rate:.0f} requests/s for {shape.seconds:.0f} s, {hosts} VM hosts\n"
        f"cold starts, live:      {outcome.ratio * 100:.2f} % of {outcome.requests}\n"
        f"cold starts, simulated: {expected * 100:.2f} %; live is {off * 100:+.1f} %\n"
        f"failed requests: {len(outcome.failed)}"
    )
    for one in outcome.failed[:5]:
        print(one)
    return not outcome.failed and abs(off) <= 0.10


def mixed(luafarm: str, seconds: float) -> bool:
    """Ask for quick and slow scripts; print how long quick ones took."""
    wanted = mix.Mix(cores=os.cpu_count() or 1, seconds=seconds)
    with farm(luafarm, "") as (served, _):
        mix.write(served.root)
        outcome = mix.run(served.port, wanted)
    for name, (half, most) in (("live", outcome.live), ("ideal", outcome.ideal)):
        print(
            f"quick scripts, {name:5}: 50 % {half * 1e3:.1f} ms, 99 % {most * 1e3:.1f}"
        )
    print(
        f"99 % is {outcome.ratio:.2f} of the ideal queue's (at most {mix.TARGET}); "
        f"failed requests: {len(outcome.failed)}"
    )
    return not outcome.failed and outcome.ratio <= mix.TARGET


def overloaded(peer: Peer, times: float, seconds: float, *, waits: bool) -> bool:
    """Ask for more than a server can do; print what came of it.

    waits: its scripts wait, so that processors are free; else they compute.
    """
    with tempfile.TemporaryDirectory(prefix="luafarm-live-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        with peer.serve(Room(directory, 4, 1)) as served:
            overload.write(served.root, waits=waits)
            outcome = overload.run(served.port, peer.suffix, times, seconds)
    does = "waits" if waits else "computes"
    print(f"{peer.name}, {times:g} times its capacity for {seconds:g} s, {does}")
    print(outcome)
    return not outcome.failed


def main() -> int:
    """Run what was asked for; 0 when nothing was seen that must not be."""
    parser = argparse.ArgumentParser(prog="python -m bench.live")
    parser.add_argument(
        "what", choices=["deploys", "zipf", "mix", "overload", "faults"]
    )
    parser.add_argument("--luafarm", default=str(beside(Path(sys.executable))))
    parser.add_argument("--deploys", type=int, default=100)
    parser.add_argument("--broken", type=int, default=20)
    parser.add_argument("--every", type=float, default=1.0, help="seconds")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="of zipf, mix and overload"
    )
    parser.add_argument("--rate", type=float, default=100.0, help="of zipf")
    parser.add_argument("--times", type=float, default=3.0, help="of overload")
    parser.add_argument("--php", action="store_true", help="overload php-fpm instead")
    parser.add_argument(
        "--waits", action="store_true", help="overload with scripts that wait"
    )
    parser.add_argument("--seed", type=int, default=1, help="of faults, the first")
    parser.add_argument("--rounds", type=int, default=1, help="of faults, each a seed")
    parser.add_argument("--faults", default="", help="names with commas, not all")
    parser.add_argument("--servers", default="", help="names with commas, not all")
    parser.add_argument("--luafcgid", type=Path, help="its binary, for faults")
    chosen = parser.parse_args()
    absent = nginx.missing()
    if absent:
        print(f"cannot measure: {absent}", file=sys.stderr)
        return 1
    try:
        if chosen.what == "zipf":
            shape = zipf.Shape(seconds=chosen.seconds, rate=chosen.rate)
            good = little_room(chosen.luafarm, shape)
        elif chosen.what == "overload":
            farmed = Luafarm(tuple(chosen.luafarm.split()))
            peer: Peer = PhpFpm() if chosen.php else farmed
            seconds, waits = chosen.seconds, chosen.waits
            good = overloaded(peer, chosen.times, seconds, waits=waits)
        elif chosen.what == "faults":
            good = comparison.compare(
                chosen.luafarm,
                chosen.luafcgid,
                range(chosen.seed, chosen.seed + chosen.rounds),
                chosen.faults,
                [name for name in chosen.servers.split(",") if name],
            )
        elif chosen.what == "mix":
            good = mixed(chosen.luafarm, chosen.seconds)
        else:
            good = deploys(chosen.luafarm, chosen.deploys, chosen.broken, chosen.every)
    except (DaemonError, DeployError, ValueError, subprocess.SubprocessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
