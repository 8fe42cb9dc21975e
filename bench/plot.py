"""Plots of the results as SVG: a figure over concurrency, one line a peer.

A small writer of its own, so that a benchmark needs nothing but what it measures. Both
axes are logarithmic: concurrency and rates span powers of ten.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from bench.measure import Cell

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 76, 130, 36, 48
COLOURS = ("#0b62a4", "#d1495b", "#2a9134", "#8d5fd3", "#e08e0b", "#5c6770", "#0f9b9b")


@dataclass(frozen=True, slots=True)
class Kind:
    """One figure of a cell, and what its axis says."""

    name: str
    axis: str
    value: Callable[[Cell], float]


KINDS = (
    Kind("rate", "requests/s", lambda cell: cell.rate),
    Kind("p99", "p99, ms", lambda cell: cell.p99_us / 1000),
)


def write(directory: Path, cells: Sequence[Cell]) -> None:
    """Write SCRIPT-KIND.svg for each script that has two concurrencies or more."""
    for script in dict.fromkeys(cell.script for cell in cells):
        mine = [cell for cell in cells if cell.script == script]
        if len({cell.concurrency for cell in mine}) > 1:
            for kind in KINDS:
                path = directory / f"{script}-{kind.name}.svg"
                path.write_text(draw(f"{script}: {kind.axis}", mine, kind))


def draw(title: str, cells: Sequence[Cell], kind: Kind) -> str:
    """Draw a figure of cells over concurrency; those without a value are left out."""
    shown = [cell for cell in cells if kind.value(cell) > 0]
    series = {
        peer: [(c.concurrency, kind.value(c)) for c in shown if c.peer == peer]
        for peer in dict.fromkeys(cell.peer for cell in shown)
    }
    return chart(title, "concurrency", series)


def chart(
    title: str, across_axis: str, series: Mapping[str, Sequence[tuple[int, float]]]
) -> str:
    """Draw lines by name, each of points with two positive coordinates."""
    points = [point for line in series.values() for point in line]
    across = _Axis.over([x for x, _ in points], LEFT, WIDTH - RIGHT)
    up = _Axis.over([y for _, y in points], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(LEFT, 20, title, weight="bold"),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, across_axis, anchor="middle"),
    ]
    for tick in up.ticks():
        y = up.place(tick)
        parts.append(_line([(LEFT, y), (WIDTH - RIGHT, y)], "#dddddd", 1))
        parts.append(_text(LEFT - 6, y + 4, f"{tick:,g}", anchor="end"))
    for number in sorted({x for x, _ in points}):
        x = across.place(number)
        parts.append(_line([(x, TOP), (x, HEIGHT - BOTTOM)], "#eeeeee", 1))
        parts.append(_text(x, HEIGHT - BOTTOM + 16, str(number), anchor="middle"))
    for number, (name, line) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        places = sorted((across.place(x), up.place(y)) for x, y in line)
        parts.append(_line(places, colour, 2))
        parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
            for x, y in places
        ]
        parts.append(_text(WIDTH - RIGHT + 10, TOP + 18 * number + 8, name, colour))
    return "\n".join([*parts, "</svg>", ""])


@dataclass(frozen=True, slots=True)
class _Axis:
    """A logarithmic scale from two powers or steps of ten to two places on the page."""

    least: float
    most: float
    start: float
    end: float

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float) -> "_Axis":
        least, most = min(values, default=1.0), max(values, default=10.0)
        if most < least * 1.5:
            least, most = least / 1.5, most * 1.5
        return cls(math.log10(least), math.log10(most), start, end)

    def place(self, value: float) -> float:
        share = (math.log10(value) - self.least) / (self.most - self.least)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """1, 2 and 5 of every power of ten within the scale."""
        powers = range(math.floor(self.least), math.ceil(self.most) + 1)
        steps = [step * 10.0**power for power in powers for step in (1, 2, 5)]
        return [s for s in steps if self.least <= math.log10(s) <= self.most]


def _line(points: Sequence[tuple[float, float]], colour: str, width: int) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return (
        f'<polyline points="{path}" fill="none" stroke="{colour}"'
        f' stroke-width="{width}"/>'
    )


def _text(
    x: float,
    y: float,
    text: str,
    colour: str = "#222222",
    *,
    anchor: str = "start",
    weight: str = "normal",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}"'
        f' font-weight="{weight}">{escape(text)}</text>'
    )
