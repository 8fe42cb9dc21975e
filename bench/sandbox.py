"""What the sandbox costs: the same farm and dialect, sandboxed and trusted, in turn."""

from collections.abc import Sequence

from bench.measure import Cell
from bench.peers.luafarm import Luafarm
from bench.report import Figure

SCRIPTS = ("hello", "bench1")
SANDBOXED = "luafarm-sandboxed"
TRUSTED = "luafarm-trusted"
CONCURRENCY = 32  # where CPU per request decides, not wake-ups


def peers(command: tuple[str, ...]) -> tuple[Luafarm, Luafarm]:
    """Two farms that differ in the trust of their pool only."""
    return (
        Luafarm(command, name=SANDBOXED, trust="sandboxed"),
        Luafarm(command, name=TRUSTED, trust="trusted"),
    )


def cost(cells: Sequence[Cell]) -> list[Figure]:
    """Requests/s and CPU per request of the sandboxed pool over the trusted one."""
    trusted = {(c.script, c.concurrency): c for c in cells if c.peer == TRUSTED}
    found = []
    for cell in cells:
        other = trusted.get((cell.script, cell.concurrency))
        if cell.peer != SANDBOXED or other is None:
            continue
        where = f"{cell.script}, c={cell.concurrency}, sandboxed / trusted"
        found.append(Figure(f"requests/s, {where}", cell.rate / other.rate, ""))
        if other.backend_us:
            ratio = cell.backend_us / other.backend_us
            found.append(Figure(f"backend CPU per request, {where}", ratio, ""))
    return found
