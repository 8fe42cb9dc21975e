"""The table: a row for each fault, a column for each server, in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Final

from bench.live.faults.order import Body
from bench.live.faults.trial import Outcome

_SILENT_S: Final = 1.5  # a shorter silence may be the machine's
_OLD_S: Final = 0.5  # an older answer is a stale one

Cell = Outcome | str
"""What came of it, or what is said instead."""


def rows(
    abouts: Mapping[str, str],
    cells: Mapping[tuple[str, str], Cell],
    names: Sequence[str],
) -> str:
    """Return the table. abouts: of the faults; cells: by fault and server."""
    lines = [["fault", *names], ["---"] * (len(names) + 1)]
    for kind, about in abouts.items():
        found = [cells.get((kind, name), "") for name in names]
        lines.append([about, *[cell(one) for one in found]])
    return "\n".join([f"| {' | '.join(line)} |" for line in lines])


def cell(one: Cell) -> str:
    """Say in few words what came of one."""
    if isinstance(one, str):
        return one
    seen = one.verdict
    lost = sum(seen.lost.values())
    said = [f"{lost or 'none'} of {seen.asked} lost"]
    if lost:
        ways = ", ".join([f"{way}: {n}" for way, n in seen.lost.most_common()])
        said[0] += f" ({ways})"
        if seen.begun:
            said[0] += f", {seen.begun} of them begun"
    said += _wrong(one)
    said += _old(one)
    if not seen.is_back:
        said.append("**not back**")
    elif seen.gap_s >= _SILENT_S:
        said.append(f"silent for {seen.gap_s:.0f} s")
    if seen.is_back and one.able < one.workers:
        said.append(f"{one.able} of {one.workers} workers work at the end")
    if one.left:
        said.append(f"{one.left} processes left over")
    return "; ".join([*said, *one.notes])


def is_broken(one: Cell) -> bool:
    """Return whether something came of it that luafarm promises under no fault."""
    if isinstance(one, str):
        return True
    seen = one.verdict
    bodies = seen.bodies[Body.WRONG] + seen.bodies[Body.SHORT] + seen.bodies[Body.MIXED]
    return bool(bodies or seen.twice or seen.old_after_new)


def _wrong(one: Outcome) -> list[str]:
    seen = one.verdict
    said = [
        f"**{seen.bodies[body]} {words}**"
        for body, words in (
            (Body.WRONG, "wrong"),
            (Body.SHORT, "cut and looked whole"),
            (Body.MIXED, "of two generations"),
        )
        if seen.bodies[body]
    ]
    if seen.twice:
        said.append(f"**{seen.twice} POSTs ran twice**")
    if seen.again:
        said.append(f"{seen.again} GETs ran twice")
    return said


def _old(one: Outcome) -> list[str]:
    seen = one.verdict
    said = []
    if seen.old_after_new:
        said.append(f"**{seen.old_after_new} old after new**")
    if not seen.newest:
        said.append("**the last deploy is not served**")
    elif seen.lag_s >= _OLD_S:
        said.append(f"old for up to {seen.lag_s:.0f} s")
    return said
