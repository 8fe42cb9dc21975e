"""All faults to all servers, one trial after the other; prints the table."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.daemon import DaemonError
from bench.live.faults import kinds, table, trial


def compare(
    luafarm: str,
    luafcgid: Path | None,
    seeds: Sequence[int],
    faults: str,
    servers: Sequence[str],
) -> bool:
    """Print what comes of it; return whether luafarm broke none of its promises.

    seeds: of as many trials of each. faults: names with commas, servers: names; empty:
    all. Raise ValueError: a name is unknown.
    """
    chosen = kinds.chosen(faults)
    all_peers = trial.peers(luafarm, luafcgid)
    for name in servers:
        if name not in {peer.name for peer in all_peers}:
            raise ValueError(f"no server is called {name!r}")
    cells: dict[tuple[str, str], table.Cell] = {}
    present = []
    for peer in all_peers:
        if servers and peer.name not in servers:
            continue
        if absent := peer.missing():
            print(f"without {peer.name}: {absent}", file=sys.stderr)
            continue
        present.append(peer)
    begun = time.monotonic()
    for kind in chosen:
        for peer in present:
            if said := kind.instead.get(peer.name):
                cells[kind.name, peer.name] = said
                continue
            try:
                cells[kind.name, peer.name] = trial.merged(
                    [trial.run(peer, kind, seed) for seed in seeds]
                )
            except DaemonError as error:
                cells[kind.name, peer.name] = "did not start"
                print(error, file=sys.stderr)
            said = table.cell(cells[kind.name, peer.name])
            print(f"{kind.name}, {peer.name}: {said}", file=sys.stderr, flush=True)
    names = [peer.name for peer in present]
    print(table.rows({kind.name: kind.about for kind in chosen}, cells, names))
    print(f"seeds {', '.join(map(str, seeds))}; {time.monotonic() - begun:.0f} s")
    return not any(
        table.is_broken(cell)
        for (_, name), cell in cells.items()
        if name == kinds.LUAFARM
    )
