"""The results as a table for the terminal, a Markdown page and a JSON file."""

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Cell

COLUMNS = (
    "script",
    "c",
    "peer",
    "requests/s",
    "ratio",
    "p50 ms",
    "p99 ms",
    "backend µs",
    "web µs",
    "memory MiB",
    "errors",
)


@dataclass(frozen=True, slots=True)
class Figure:
    """One further figure: what, how much, of what unit."""

    name: str
    value: float
    unit: str

    def __str__(self) -> str:
        """One line for the terminal."""
        return f"{self.name}: {self.value:.2f} {self.unit}"


def rows(cells: Sequence[Cell], relative_to: str) -> list[tuple[str, ...]]:
    """Table rows under COLUMNS; the ratio is of requests/s to those of one peer."""
    base = {(c.script, c.concurrency): c.rate for c in cells if c.peer == relative_to}
    order: dict[tuple[str, int], list[Cell]] = {}
    for cell in cells:
        order.setdefault((cell.script, cell.concurrency), []).append(cell)
    return [
        (
            cell.script,
            str(cell.concurrency),
            cell.peer,
            f"{cell.rate:.0f}",
            f"{cell.rate / base[key]:.2f}" if base.get(key) else "-",
            f"{cell.p50_us / 1000:.2f}",
            f"{cell.p99_us / 1000:.2f}",
            f"{cell.backend_us:.1f}",
            f"{cell.web_us:.1f}",
            f"{cell.memory_bytes / 2**20:.1f}",
            str(cell.errors),
        )
        for key, group in order.items()
        for cell in group
    ]


def terminal(table: Sequence[tuple[str, ...]]) -> str:
    """Align the rows in columns, a gap wherever script or concurrency changes."""
    widths = [
        max(len(row[i]) for row in [COLUMNS, *table]) for i in range(len(COLUMNS))
    ]
    lines = [_aligned(COLUMNS, widths)]
    before: tuple[str, ...] = ()
    for row in table:
        if row[:2] != before:
            lines.append("")
            before = row[:2]
        lines.append(_aligned(row, widths))
    return "\n".join(lines)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    left = {0, 2}
    return "  ".join(
        text.ljust(width) if i in left else text.rjust(width)
        for i, (text, width) in enumerate(zip(row, widths, strict=True))
    ).rstrip()


def markdown(
    table: Sequence[tuple[str, ...]], about: Sequence[str], figures: Sequence[Figure]
) -> str:
    """Make a page of the table, the further figures and what was compared."""
    lines = ["# Benchmark", "", f"{machine()}.", ""]
    lines += ["| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS)]
    lines += ["| " + " | ".join(row) + " |" for row in table]
    if figures:
        lines += ["", "| figure | value | unit |", "| --- | --- | --- |"]
        lines += [f"| {f.name} | {f.value:.2f} | {f.unit} |" for f in figures]
    lines += ["", *(f"- {line}" for line in about), ""]
    return "\n".join(lines)


def machine() -> str:
    """Processor, kernel and Python, in one line."""
    model = "unknown processor"
    cpuinfo = Path("/proc/cpuinfo").read_text()
    for line in cpuinfo.splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    cores = cpuinfo.count("processor\t:")
    return (
        f"{cores} x {model}, Linux {platform.release()},"
        f" Python {platform.python_version()}"
    )


def write(directory: Path, name: str, page: str, values: dict[str, object]) -> None:
    """Write the page and the values as NAME.md and NAME.json, and as latest.*."""
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(values, indent=1)
    for stem in (name, "latest"):
        (directory / f"{stem}.md").write_text(page)
        (directory / f"{stem}.json").write_text(text)
